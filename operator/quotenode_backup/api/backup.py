"""QuoteNodeBackup: one run of a backup, from `kubectl apply` to a verified bundle."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from quotenode_backup.api.application import BY_KIND_AND_NAME, MOST_WORKLOADS, Workload
from quotenode_backup.api.database import Database
from quotenode_backup.api.fields import ObjectName, SpecModel, SubPath, rule, rules, unchanged
from quotenode_backup.api.pod import Pod
from quotenode_backup.api.volumes import BY_NAME, MOST_VOLUMES, WHOLE_ARCHIVE, FilesVolume

KIND = "QuoteNodeBackup"
PLURAL = "quotenodebackups"
SHORT_NAME = "qnb"
NAME_LIMIT = 63
"""Characters of a resource's name: it becomes the value of a label."""


class FilesSource(FilesVolume):
    """A volume of uploads or PDFs, which is mounted read-only."""

    sub_path: SubPath = ""
    """Folder inside the claim to back up. Empty means the whole claim."""


class LocalStorage(SpecModel):
    """A volume that holds the bundles."""

    claim_name: ObjectName
    """Name of a PersistentVolumeClaim in the same namespace."""
    sub_path: SubPath = ""
    """Folder inside the claim that holds the bundles. Each database gets a folder of its own in it."""


class Storage(SpecModel):
    """Where the bundle is stored."""

    local: LocalStorage
    """A volume of this cluster that holds the bundles. On the database's own disk it protects against mistakes, but not against the loss of that disk."""


class Application(SpecModel):
    """The application whose data this is."""

    workloads: Annotated[
        list[Workload],
        Field(min_length=1, max_length=MOST_WORKLOADS, json_schema_extra=BY_KIND_AND_NAME),
    ]
    """Everything that writes to the database or to the files, which in QuoteNode are backend and backup-worker."""


class Retention(SpecModel):
    """How many local bundles of this database are kept."""

    keep_last: Annotated[int, Field(ge=1, le=365)] = 7
    """How many of the newest verified bundles are kept. An older bundle is removed only after a successful backup, and only if this many newer bundles hold the same volumes."""


class Mode(StrEnum):
    ONLINE = "Online"
    OFFLINE = "Offline"


class DeletionPolicy(StrEnum):
    RETAIN = "Retain"
    DELETE = "Delete"


class AuditLog(StrEnum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"


# What a schedule's absent fields mean.
ZONE = "Etc/UTC"
STARTING_DEADLINE = 3600
STALE_AFTER = 172_800
SUCCESSFUL_RUNS_KEPT = 50
FAILED_RUNS_KEPT = 10
SCHEDULE_FIELDS = (
    "schedule",
    "time_zone",
    "suspend",
    "trigger",
    "starting_deadline_seconds",
    "stale_after_seconds",
    "successful_runs_history_limit",
    "failed_runs_history_limit",
)
"""Without `schedule` they are refused. They have no default in the schema, which would put them into every one-off."""
SCHEDULE_NAME_LIMIT = 52
"""Characters: its runs have eleven more."""


_FROZEN = "a backup's spec can't be changed, but for deletionPolicy: make a new QuoteNodeBackup"
_FROZEN_FIELDS = (
    "database",
    "files",
    "storage",
    "retention",
    "mode",
    "application",
    "activeDeadlineSeconds",
    "backoffLimit",
    "auditLog",
    "pod",
)


class BackupSpec(SpecModel):
    """What to back up, where to store it, and when. Without `schedule` this is a one-off backup, of which only deletionPolicy can be changed; with `schedule` it creates a run for each slot."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": rules(
            rule(
                "has(self.schedule) == has(oldSelf.schedule)",
                "a one-off can't become a schedule, nor a schedule a one-off: make a new QuoteNodeBackup",
            ),
            *(rule(f"has(self.schedule) || {unchanged(field)}", _FROZEN) for field in _FROZEN_FIELDS),
            rule(
                "has(self.schedule) || (!has(self.timeZone) && !has(self.suspend) && !has(self.trigger)"
                " && !has(self.startingDeadlineSeconds) && !has(self.staleAfterSeconds)"
                " && !has(self.successfulRunsHistoryLimit) && !has(self.failedRunsHistoryLimit))",
                "timeZone, suspend, trigger, startingDeadlineSeconds, staleAfterSeconds and the history limits"
                " are for a schedule: set schedule too",
            ),
            rule(
                "self.mode != 'Offline' || has(self.application)",
                "mode Offline needs application.workloads: what to stop and start again",
            ),
            WHOLE_ARCHIVE,
            rule(
                "!has(self.files) || self.files.all(f, f.claimName != self.storage.local.claimName"
                " || (f.subPath != '' && !(self.storage.local.subPath + '/').startsWith(f.subPath + '/')))",
                "storage.local lies inside one of files: each bundle would hold all the bundles before it",
            ),
        )
    }

    schedule: (
        Annotated[
            str,
            StringConstraints(
                min_length=9,
                max_length=100,
                pattern=r"^([0-5]?[0-9] )?[0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4}$",
            ),
        ]
        | None
    ) = None
    """When to back up: a cron expression of 5 fields, or of 6 whose first is a number of seconds, such as `0 0 2 * * *`. Each time that matches is a slot; without `schedule` there is one backup, which starts at once."""
    time_zone: (
        Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")]
        | None
    ) = None
    """IANA time zone of `schedule`, such as Europe/Berlin. Defaults to Etc/UTC."""
    suspend: bool | None = None
    """Suspends the schedule: while this is true, no slot starts a run. A new value of `trigger` still does."""
    trigger: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = None
    """Any new value, such as the date and your name, starts one run at once."""
    starting_deadline_seconds: Annotated[int, Field(ge=10, le=604800)] | None = None
    """How many seconds after its slot a run may still be created, such as after a downtime of the operator; later than that, the slot counts as missed. Defaults to 3600."""
    stale_after_seconds: Annotated[int, Field(ge=60, le=31622400)] | None = None
    """How many seconds old the last successful backup may become before condition Stale is True. Defaults to 172800, which is two days."""
    successful_runs_history_limit: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many successful runs of this schedule are kept as resources, in addition to those whose local bundle still exists. Defaults to 50."""
    failed_runs_history_limit: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many failed runs of this schedule are kept as resources. Defaults to 10."""
    retention: Retention | None = None
    """How many local bundles of this database are kept after a successful backup, counting those that one-off backups and other schedules stored in the same folder; a bundle with a file `<bundle>.keep` beside it is always kept. A schedule keeps the newest 7 by default, and a one-off backup without `retention` removes none."""
    mode: Mode = Mode.ONLINE
    """Online: the application keeps running. Offline: the workloads of `application` are stopped before the backup and started again afterwards, however the backup ends."""
    application: Application | None = None
    """The application that mode Offline stops and starts again."""
    database: Database
    """The PostgreSQL database to dump."""
    files: Annotated[
        list[FilesSource],
        Field(max_length=MOST_VOLUMES, json_schema_extra=BY_NAME),
    ] = []
    """The volumes of uploads and PDFs. If there are none, only the database is backed up."""
    storage: Storage
    """Where the bundle is stored."""
    active_deadline_seconds: Annotated[int, Field(ge=30, le=604800)] = 1800
    """How many seconds all attempts of a run may take together, from the moment the run acquires the database's lock; after that it is ended and Failed. The last minute is for cleaning up."""
    backoff_limit: Annotated[int, Field(ge=0, le=10)] = 1
    """How many further attempts follow a failure that another attempt can fix."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """Delete: deleting this resource deletes its local bundle too, once the operator has added its finalizer. This is the only field that can be changed on a one-off backup."""
    audit_log: AuditLog = AuditLog.ENABLED
    """Whether each run is also recorded as a row of QuoteNode's table backup_logs, in the database that is backed up."""
    pod: Pod = Field(default_factory=Pod)
    """The few settings of the runner pod that can be chosen."""

    @property
    def zone(self) -> str:
        return self.time_zone or ZONE

    @property
    def starting_deadline(self) -> int:
        """Seconds."""
        return self.starting_deadline_seconds or STARTING_DEADLINE

    @property
    def stale_after(self) -> int:
        """Seconds."""
        return self.stale_after_seconds or STALE_AFTER

    @property
    def successful_runs_kept(self) -> int:
        asked = self.successful_runs_history_limit
        return SUCCESSFUL_RUNS_KEPT if asked is None else asked

    @property
    def failed_runs_kept(self) -> int:
        asked = self.failed_runs_history_limit
        return FAILED_RUNS_KEPT if asked is None else asked
