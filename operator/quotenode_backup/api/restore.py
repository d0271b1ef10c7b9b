"""QuoteNodeRestore: puts a backup's database and files back in place, once."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from quotenode_backup.api.application import BY_KIND_AND_NAME, MOST_WORKLOADS, Workload
from quotenode_backup.api.database import VERIFIED_NEEDS_CA, CredentialsSecretRef, DatabaseAccess
from quotenode_backup.api.fields import (
    ClaimPath,
    ObjectName,
    Quantity,
    SpecModel,
    SubPath,
    rule,
    rules,
    unchanged,
)
from quotenode_backup.api.pod import Pod
from quotenode_backup.api.volumes import BY_NAME, MOST_VOLUMES, WHOLE_ARCHIVE, FilesVolume

KIND = "QuoteNodeRestore"
PLURAL = "quotenoderestores"
SHORT_NAME = "qnr"
NAME_LIMIT = 63
"""Characters of a resource's name: it becomes the value of a label."""


class Component(StrEnum):
    DATABASE = "Database"
    FILES = "Files"


class LatestOf(SpecModel):
    """The newest backup of a schedule that began before some moment."""

    schedule: ObjectName
    """Name of the QuoteNodeBackup that is the schedule."""
    before: AwareDatetime
    """Only backups that began before this time count, such as the time at which the data was damaged. Of them the newest completed one whose bundle still exists is restored."""


class Archive(SpecModel):
    """A bundle that lies on a volume, such as a downloaded one."""

    claim_name: ObjectName
    """Name of a PersistentVolumeClaim in the same namespace."""
    path: ClaimPath = ""
    """Path inside the claim of the bundle, or of a folder with a loose backup.dump, files.tar.gz and checksums.sha256. Empty means that these lie in the claim's root."""


class Source(SpecModel):
    """What to restore: exactly one of backupName, latestOf, archive and undoOf."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": rules(
            rule(
                "[has(self.backupName), has(self.latestOf), has(self.archive), has(self.undoOf)].exists_one(x, x)",
                "source: set exactly one of backupName, latestOf, archive and undoOf",
            ),
            rule(
                "!has(self.undoOf) || !has(self.sha256)",
                "source.undoOf reads no bundle: leave sha256 out",
            ),
        )
    }

    backup_name: ObjectName | None = None
    """Name of a completed QuoteNodeBackup whose bundle still exists."""
    latest_of: LatestOf | None = None
    """The newest backup of a schedule that began before some moment. It is looked up once, and the status names it."""
    archive: Archive | None = None
    """A bundle that lies on a volume, such as a downloaded one. It needs `database`, since nothing that names a host, a Secret or a claim is taken from a bundle."""
    undo_of: ObjectName | None = None
    """Name of an earlier QuoteNodeRestore, whose replaced data is put back. That is possible as long as its condition ReplacedDataKept is True."""
    sha256: Annotated[str, StringConstraints(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 checksum that the bundle must have, or for a folder of loose files its checksums.sha256. Defaults to the checksum in the status of the QuoteNodeBackup."""


class RestoreDatabase(DatabaseAccess):
    """The PostgreSQL database to restore to, and how to get into it."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": rules(
            VERIFIED_NEEDS_CA,
            rule(
                "!has(self.claimName) || !has(self.freeSpace)",
                "database: set claimName or freeSpace, not both: the free space of the claim is measured",
            ),
        )
    }

    credentials_secret_ref: CredentialsSecretRef
    """The Secret, in the same namespace, that holds the PostgreSQL role and its password. The role must own the database, or be a member of the role that does."""
    admin_credentials_secret_ref: CredentialsSecretRef | None = None
    """A Secret with a role that may create and rename databases and create extensions, for an owner that may not. Nothing of the backup is ever executed as this role."""
    claim_name: ObjectName | None = None
    """Name of the PersistentVolumeClaim that the server's data lies on, to measure its free space. Needed only where the pods behind `host` do not show it."""
    free_space: Quantity | None = None
    """How much space the server has for a second copy of the database, such as 20Gi. Needed only where the server's data lies on no claim of this namespace."""
    allow_other_database: bool = False
    """Allows a backup of a database of another name to be restored into this one."""
    allow_replication_loss: bool = False
    """Allows the restore although logical replication slots, subscriptions or publications exist, which do not follow it."""


class FilesTarget(FilesVolume):
    """A volume whose files are replaced."""

    sub_path: SubPath = ""
    """Folder inside the claim whose files are replaced. Empty means the whole claim."""


class RestoreWorkload(Workload):
    """A workload of the application, which is stopped before the swap and started after it."""

    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Replicas that the workload gets afterwards if it has none before. Defaults to 1."""


class HealthCheck(SpecModel):
    """A URL of the application that tells whether it serves."""

    url: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1024, pattern=r"^https?://[A-Za-z0-9.:_\[\]-]+(/[!-~]*)?$"),
    ]
    """URL that answers 200 to 299 once the application serves, such as http://backend:8080/healthz. A pod of the restore asks it, never the operator."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
    """How many seconds after its start the application may take to serve."""


class RestoreApplication(SpecModel):
    """The application whose data is replaced."""

    workloads: (
        Annotated[
            list[RestoreWorkload],
            Field(max_length=MOST_WORKLOADS, json_schema_extra=BY_KIND_AND_NAME),
        ]
        | None
    ) = None
    """Everything that uses the database or the files. Defaults to those of the QuoteNodeBackup, and an empty list means that nothing is to be stopped."""
    health_check: HealthCheck | None = None
    """How to tell that the application serves again. Without it, nothing is asked."""


class RestorePod(Pod):
    """The few settings of the runner pods that can be chosen."""

    run_as_user: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """User ID that may read the bundle and write the files. Defaults to the user ID of the pod that has the claims mounted."""
    fs_group: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """Group ID that may read the bundle and write the files. It is given to the process alone, so that no volume's groups and modes change."""


_FROZEN = "a restore's spec can't be changed, but for keepReplacedSeconds: make a new QuoteNodeRestore"
_FROZEN_FIELDS = (
    "source",
    "dryRun",
    "components",
    "database",
    "files",
    "application",
    "activeDeadlineSeconds",
    "backoffLimit",
    "pod",
)


class RestoreSpec(SpecModel):
    """What to restore, and where. It runs once, and only keepReplacedSeconds can be changed."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": rules(
            *(rule(unchanged(field), _FROZEN) for field in _FROZEN_FIELDS),
            rule(
                "!has(self.source.archive) || has(self.database)",
                "source.archive needs database: where to restore to is never taken from a bundle, which anybody can write",
            ),
            rule(
                "!has(self.source.archive) || !has(self.components) || !('Files' in self.components)"
                " || has(self.files)",
                "source.archive with component Files needs files: which claim gets which folder of files.tar.gz",
            ),
            rule(
                "!has(self.source.undoOf) || (!has(self.components) && !has(self.database) && !has(self.files))",
                "source.undoOf puts back all that the earlier restore replaced, where it was:"
                " leave components, database and files out",
            ),
            rule(
                "!has(self.files) || !has(self.components) || 'Files' in self.components",
                "files is set, but components leaves Files out: add Files to components, or leave files out",
            ),
            WHOLE_ARCHIVE,
            rule(
                "!has(self.files) || self.files.all(f, self.files.all(g, f.name == g.name"
                " || f.claimName != g.claimName"
                " || (f.subPath != '' && !(g.subPath + '/').startsWith(f.subPath + '/'))))",
                "files: one of the folders lies inside another, so that both can't be replaced:"
                " give each a claim or a subPath of its own",
            ),
            rule(
                "!has(self.files) || !has(self.source.archive) || self.files.all(f,"
                " f.claimName != self.source.archive.claimName"
                " || (f.subPath != '' && !(self.source.archive.path + '/').startsWith(f.subPath + '/')))",
                "source.archive lies inside one of files, which would be replaced with it: put it on another claim",
            ),
        )
    }

    source: Source
    """What to restore: exactly one of backupName, latestOf, archive and undoOf. If it can't be restored, the restore fails, and never takes another backup instead."""
    dry_run: bool = False
    """Checks everything and reports what would happen, without changing anything."""
    components: (
        Annotated[
            list[Component],
            Field(min_length=1, max_length=2, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """Which parts to restore: Database, Files or both. Defaults to all that the backup has and that is given or inherited."""
    database: RestoreDatabase | None = None
    """The database to restore to, whose lock is taken even if only the files are restored. Defaults to the database of the QuoteNodeBackup."""
    files: (
        Annotated[
            list[FilesTarget],
            Field(min_length=1, max_length=MOST_VOLUMES, json_schema_extra=BY_NAME),
        ]
        | None
    ) = None
    """The volumes whose files are replaced, each by its folder's name in files.tar.gz. Defaults to the files of the QuoteNodeBackup."""
    application: RestoreApplication | None = None
    """The application, which is stopped for the swap and started again. Defaults to the application of the QuoteNodeBackup."""
    keep_replaced_seconds: Annotated[int, Field(ge=0, le=31622400)] = 604800
    """How many seconds the replaced database and files are kept, so that `undoOf` can put them back; 0 removes them at once. This is the only field that can be changed."""
    active_deadline_seconds: Annotated[int, Field(ge=60, le=604800)] | None = None
    """How many seconds the restore may take, from the moment it acquires the database's lock until the application is stopped. Without it, and from then on, nothing is ended by a clock."""
    backoff_limit: Annotated[int, Field(ge=0, le=10)] = 1
    """How many further attempts follow a failure that another attempt can fix, as long as nothing has been replaced."""
    pod: RestorePod = Field(default_factory=RestorePod)
    """The few settings of the runner pods that can be chosen."""
