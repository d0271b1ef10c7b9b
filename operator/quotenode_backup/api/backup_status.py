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
    """Size in bytes."""
    checksum: Sha256
    """SHA-256."""


class Components(StatusModel):
    """The parts of the bundle."""

    database: Component
    """backup.dump"""
    files: Component | None = None
    """files.tar.gz; absent when the spec names no files."""


class Destination(StatusModel):
    """A place that holds the bundle."""

    type: Literal["Local"]
    """Kind of the place."""
    claim_name: Annotated[str, StringConstraints(max_length=253)]
    """PersistentVolumeClaim."""
    path: Annotated[str, StringConstraints(max_length=1024)]
    """Path of the bundle inside the claim."""
    user_id: int | None = None
    """As whom it was written."""


class Removal(StatusModel):
    """The Job that removes the bundle of a resource that is being deleted."""

    obstacle: Sentence
    """What kept its pod from running when it was last looked at."""


class BackupStatus(RunStatus, ScheduleStatus):
    """What has become of the backup."""

    size_bytes: int | None = None
    """Size of the bundle in bytes."""
    size: Word | None = None
    """Size of the bundle, for people."""
    checksum: Sha256 | None = None
    """SHA-256 of the bundle, read back from the storage."""
    destinations: Annotated[list[Destination], Field(max_length=2)] = []
    """Where the bundle is."""
    components: Components | None = None
    """The parts of the bundle."""
    notes: int | None = None
    """How many oddities the bundle's manifest.json lists: warnings of pg_dump, files that came or went meanwhile, sockets left out. The log has them too."""
    original_uid: Word | None = None
    """UID of the resource that stored the bundle; present if this resource was created again since, as by a restore of the namespace."""
    removal: Removal | None = None
    """Why the local bundle is not removed yet, if the Job's pod does not run. Present only while the resource is being deleted."""

    @property
    def owes_row(self) -> bool:
        """Whether its row in backup_logs is still to be written, from this very resource."""
        return self.is_unknown(ConditionType.AUDIT_LOGGED)

    @property
    def is_sought(self) -> bool:
        """Whether its bundle is still to be looked for, since the run came back without its status."""
        return self.is_unknown(ConditionType.LOCAL_BUNDLE_PRESENT)
