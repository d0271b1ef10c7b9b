"""What the operator tells the runner. There is one kind of plan for each kind of Job, and no plan contains a secret."""

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


class Planned(BaseModel):
    """Plans are read strictly: a runner that ignored a field that it does not know would not do what it was told."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Plan(Planned):
    """What every Job is told: which resource it belongs to, and when it must have ended."""

    version: int = PLAN_VERSION
    run_uid: str
    """The UID of the resource that the Job belongs to."""
    namespace: str
    name: str
    """The name of that resource."""
    attempt: int
    """Counts from 1."""
    deadline: datetime
    """When the runner must have cleaned up and ended. The Job's own deadline is later."""


class PlannedDatabase(Planned):
    host: str
    port: int
    name: str
    ssl_mode: str
    """A value of libpq's `sslmode`, such as `verify-full`."""
    compression: Compression
    credentials_secret: str
    """The name and the keys of the Secret are here only so that a message can name them."""
    username_key: str
    password_key: str
    ca_secret: str | None = None
    ca_key: str | None = None


class PlannedFiles(Planned):
    name: str
    """The folder inside `files.tar.gz`, or `.` for the root of the archive."""
    claim_name: str
    sub_path: str = ""


class PlannedClaim(Planned):
    claim_name: str
    sub_path: str = ""


class PlannedRetention(Planned):
    keep_last: int


class BackupPlan(Plan):
    """The plan of `run`, which makes one backup."""

    initiated_by: InitiatedBy
    started: datetime
    """When the run got its lock. It is the same in every attempt, and the bundle is named after it."""
    database: PlannedDatabase
    files: tuple[PlannedFiles, ...]
    local: PlannedClaim
    retention: PlannedRetention | None = None
    """Absent if no bundle may be removed."""
    audit: bool = False
    """Whether the run writes a row into backup_logs."""

    @property
    def target(self) -> Target:
        return Target(self.namespace, self.database.host, self.database.port, self.database.name)


class RowStatus(StrEnum):
    """The status of a run as QuoteNode writes it into backup_logs."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class AuditRow(Planned):
    """A row of backup_logs without its id. The id is the UID of the resource, or the first UID of a resource that was recreated."""

    status: RowStatus
    initiated_by: InitiatedBy
    started: datetime
    completed: datetime | None = None
    size_bytes: int | None = None
    destination: str
    sha256: str | None = None
    error: str | None = None


class RecordPlan(Plan):
    """The plan of `record`, which writes the row of a run that could not write it itself."""

    database: PlannedDatabase
    row: AuditRow
    original_uid: str | None = None
    """The id of the row, if the resource was recreated since its run began and has another UID now."""


class SearchPlan(Plan):
    """The plan of `find`, which looks for the bundle of a run whose resource was recreated without its status."""

    local: PlannedClaim
    path: str
    """The path of the bundle, below the root of the claim."""
    size_bytes: int
    sha256: str


class RemovalPlan(Plan):
    """The plan of `remove`, which removes the bundle of a run that is deleted with deletionPolicy Delete."""

    local: PlannedClaim
    path: str
    """The path of the bundle, below the root of the claim, which is mounted at `paths.DESTINATION`. With a slash at its end it is the path of the
    folder in which the bundle would be."""
    original_uid: str | None = None
    """The UID in the commit record, if the resource was recreated since its run began and has another UID now."""


def plan_digest(text: bytes) -> str:
    """The SHA-256 of a plan. The operator writes it into the arguments of the container, which nobody can change. The annotation with the plan can be
    changed."""
    return hashlib.sha256(text).hexdigest()
