"""What the operator tells the runner: one plan for each kind of Job. No plan holds a secret."""

import hashlib
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from quotenode_backup.domain.target import Target

PLAN_VERSION = 1


class Compression(StrEnum):
    ZSTD = "Zstd"
    GZIP = "Gzip"
    NONE = "None"


class InitiatedBy(StrEnum):
    SCHEDULER = "Scheduler"
    ADMIN = "Admin"


class _Planned(BaseModel):
    """Read strictly: a runner that passed over a field that it does not know would do something else than it was told."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Plan(_Planned):
    """What every Job is told: whose it is, and when it must be over."""

    version: int = PLAN_VERSION
    run_uid: str
    """UID of the resource that the Job belongs to."""
    namespace: str
    name: str
    """Name of that resource."""
    attempt: int
    """Counts from 1."""
    deadline: datetime
    """When the runner must have ended and cleaned up. The Job's own deadline comes later."""


class PlannedDatabase(_Planned):
    host: str
    port: int
    name: str
    ssl_mode: str
    """One of libpq's words, such as `verify-full`."""
    compression: Compression
    credentials_secret: str
    """The Secret's name and keys are here only so that a message can name them."""
    username_key: str
    password_key: str
    ca_secret: str | None = None
    ca_key: str | None = None


class PlannedFiles(_Planned):
    name: str
    """The folder inside `files.tar.gz`; `.` is the archive's root."""
    claim_name: str
    sub_path: str = ""


class PlannedClaim(_Planned):
    claim_name: str
    sub_path: str = ""


class PlannedRetention(_Planned):
    keep_last: int


class BackupPlan(Plan):
    """`run`: make one backup."""

    initiated_by: InitiatedBy
    started: datetime
    """When the run got its lock: the same in every attempt, and what the bundle is named after."""
    database: PlannedDatabase
    files: tuple[PlannedFiles, ...]
    local: PlannedClaim
    retention: PlannedRetention | None = None
    """Absent: no bundle is removed."""
    audit: bool = False
    """Whether the run is a row of backup_logs too."""

    @property
    def target(self) -> Target:
        return Target(self.namespace, self.database.host, self.database.port, self.database.name)


class RowStatus(StrEnum):
    """As QuoteNode writes it in backup_logs."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class AuditRow(_Planned):
    """What backup_logs says about a run, besides its id, which is the resource's UID (the first, if it was made again)."""

    status: RowStatus
    initiated_by: InitiatedBy
    started: datetime
    completed: datetime | None = None
    size_bytes: int | None = None
    destination: str
    sha256: str | None = None
    error: str | None = None


class RecordPlan(Plan):
    """`record`: write the row of a run that could not write it itself."""

    database: PlannedDatabase
    row: AuditRow
    original_uid: str | None = None
    """The id of the row, when the resource has been made again since it was begun and has another UID."""


class SearchPlan(Plan):
    """`find`: look for the bundle of a run whose resource came back without its status."""

    local: PlannedClaim
    path: str
    """Of the bundle, below the root of the claim."""
    size_bytes: int
    sha256: str


class RemovalPlan(Plan):
    """`remove`: remove the bundle of a run that is deleted with deletionPolicy Delete."""

    local: PlannedClaim
    path: str
    """Of the bundle, below the root of the claim, which is mounted at `paths.DESTINATION`. With a slash at its end: of the folder that it would
    be in, if there is one."""
    original_uid: str | None = None
    """The UID in the commit record, when the resource has been made again since and has another."""


def plan_digest(text: bytes) -> str:
    """What the operator says of a plan in the arguments of its container, which, unlike the annotation that holds the plan, nobody can change:
    its SHA-256."""
    return hashlib.sha256(text).hexdigest()
