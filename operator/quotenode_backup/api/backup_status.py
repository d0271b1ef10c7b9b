"""The status of a QuoteNodeBackup, which is one run or a schedule of runs."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from quotenode_backup.api.conditions import ConditionType, Sentence, Word
from quotenode_backup.api.fields import StatusModel
from quotenode_backup.api.run_status import RunStatus
from quotenode_backup.api.schedule_status import ScheduleStatus

Sha256 = Annotated[str, StringConstraints(max_length=64)]


class Component(StatusModel):
    """A part of the bundle, as stored."""

    size_bytes: int
    """Size of the part in bytes."""
    checksum: Sha256
    """SHA-256 checksum of the part."""


class Components(StatusModel):
    """The parts of the bundle."""

    database: Component
    """The dump of the database, backup.dump."""
    files: Component | None = None
    """The archive of the files, files.tar.gz. Absent if the spec names no files."""


class Destination(StatusModel):
    """A place where the bundle is stored."""

    type: Literal["Local"]
    """Kind of the place: Local is a claim in this cluster."""
    claim_name: Annotated[str, StringConstraints(max_length=253)]
    """Name of the PersistentVolumeClaim."""
    path: Annotated[str, StringConstraints(max_length=1024)]
    """Path of the bundle inside the claim."""
    user_id: int | None = None
    """User ID that wrote the bundle."""


class Removal(StatusModel):
    """The Job that removes the bundle of a resource that is being deleted."""

    obstacle: Sentence
    """What kept the pod of that Job from running when the operator last looked."""


class BackupStatus(RunStatus, ScheduleStatus):
    """State of the backup or schedule, as the operator last observed it."""

    size_bytes: int | None = None
    """Size of the bundle in bytes."""
    size: Word | None = None
    """Size of the bundle in a human-readable form."""
    checksum: Sha256 | None = None
    """SHA-256 checksum of the bundle, as it was read back from the storage."""
    destinations: Annotated[list[Destination], Field(max_length=2)] = []
    """Where the bundle is stored."""
    components: Components | None = None
    """The parts of the bundle."""
    notes: int | None = None
    """How many notes the bundle's manifest.json holds, such as warnings of pg_dump, files that were created or deleted meanwhile, and sockets that were left out. The log of the pod has them too."""
    original_uid: Word | None = None
    """UID that the resource had when it stored the bundle. Present only if the resource was created again since, such as by a restore of the namespace."""
    removal: Removal | None = None
    """The Job that removes the local bundle, if its pod does not run. Present only while the resource is being deleted."""

    @property
    def owes_row(self) -> bool:
        """Whether its row in backup_logs is still to be written, from this very resource."""
        return self.is_unknown(ConditionType.AUDIT_LOGGED)

    @property
    def is_sought(self) -> bool:
        """Whether its bundle is still to be looked for, since the run came back without its status."""
        return self.is_unknown(ConditionType.LOCAL_BUNDLE_PRESENT)
