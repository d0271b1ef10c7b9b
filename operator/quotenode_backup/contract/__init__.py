"""What the operator and the runner say to each other.

The plan goes in as an annotation of the pod, with its checksum as an argument; the result comes out as the termination message. The two programs
can be of different releases for as long as a run takes, so a plan is read strictly (a runner that does not know a field must not
guess) and a result leniently.
"""

import hashlib
from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from quotenode_backup.domain.reasons import Reason

PLAN_VERSION = 1
RESULT_LIMIT = 3500
"""Bytes: the kubelet cuts a termination message at 4096."""
DETAIL_LIMIT = 512
"""Characters of a sentence in a result."""

PLAN_PATH = "/plan/plan.json"
RESULT_PATH = "/dev/termination-log"
DATABASE_SECRET = "/secrets/database"
"""Holds `username` and `password`, whatever the keys of the Secret are called."""
CA_FILE = "/secrets/ca/ca.crt"
SOURCES = "/source"
"""`files[i]` of the plan is the whole claim, mounted read-only at `/source/<i>`."""
DESTINATION = "/destination"
"""The whole claim of `storage.local`."""
PRIVATE = "/run/quotenode"
"""Small, in memory, writable: HOME, TMPDIR and the copies of secrets that tools want as files."""


class Compression(StrEnum):
    ZSTD = "Zstd"
    GZIP = "Gzip"
    NONE = "None"


class InitiatedBy(StrEnum):
    SCHEDULER = "Scheduler"
    ADMIN = "Admin"


class Outcome(StrEnum):
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Plan(BaseModel):
    """Everything an attempt needs to know. Holds no secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    version: int = PLAN_VERSION
    run_uid: str
    namespace: str
    name: str
    attempt: int
    """Counts from 1."""
    initiated_by: InitiatedBy
    started: datetime
    """When the run got its lock: the same in every attempt, and what the bundle is named after."""
    deadline: datetime
    """When the runner must have ended and cleaned up. The Job's own deadline comes later."""
    database: "PlannedDatabase"
    files: "tuple[PlannedFiles, ...]"
    local: "PlannedClaim"
    retention: "PlannedRetention | None" = None
    """Absent: no bundle is removed."""
    audit: bool = False
    """Whether the run is a row of backup_logs too."""


class PlannedDatabase(BaseModel):
    model_config = Plan.model_config

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


class PlannedFiles(BaseModel):
    model_config = Plan.model_config

    name: str
    """The folder inside `files.tar.gz`; `.` is the archive's root."""
    claim_name: str
    sub_path: str = ""


class PlannedClaim(BaseModel):
    model_config = Plan.model_config

    claim_name: str
    sub_path: str = ""


class PlannedRetention(BaseModel):
    model_config = Plan.model_config

    keep_last: int


class RowStatus(StrEnum):
    """As QuoteNode writes it in backup_logs."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class AuditRow(BaseModel):
    """What backup_logs says about a run, besides its id, which is the resource's UID (the first, if it was made again)."""

    model_config = Plan.model_config

    status: RowStatus
    initiated_by: InitiatedBy
    started: datetime
    completed: datetime | None = None
    size_bytes: int | None = None
    destination: str
    sha256: str | None = None
    error: str | None = None


class RecordPlan(BaseModel):
    """`python -m quotenode_backup record`: write the row of a run that could not write it itself."""

    model_config = Plan.model_config

    version: int = PLAN_VERSION
    run_uid: str
    namespace: str
    name: str
    attempt: int
    deadline: datetime
    database: PlannedDatabase
    row: AuditRow
    original_uid: str | None = None
    """The id of the row, when the resource has been made again since it was begun and has another UID."""


class SearchPlan(BaseModel):
    """`python -m quotenode_backup find`: look for the bundle of a run whose resource came back without its status."""

    model_config = Plan.model_config

    version: int = PLAN_VERSION
    run_uid: str
    namespace: str
    name: str
    attempt: int
    deadline: datetime
    local: PlannedClaim
    path: str
    """Of the bundle, below the root of the claim."""
    size_bytes: int
    sha256: str


class RemovalPlan(BaseModel):
    """`python -m quotenode_backup remove`: remove the bundle of a run that is deleted with deletionPolicy Delete."""

    model_config = Plan.model_config

    version: int = PLAN_VERSION
    run_uid: str
    namespace: str
    name: str
    attempt: int
    deadline: datetime
    local: PlannedClaim
    path: str
    """Of the bundle, below the root of the claim, which is mounted at `DESTINATION`. With a slash at its end: of the folder that it would
    be in, if there is one."""
    original_uid: str | None = None
    """The UID in the commit record, when the resource has been made again since and has another."""


class Result(BaseModel):
    """How an attempt ended. A hint: the commit record on the volume is the truth."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    run_uid: str
    attempt: int
    outcome: Outcome
    reason: Reason
    message: str
    """One sentence, at most `DETAIL_LIMIT` characters."""
    bundle: "StoredBundle | None" = None
    notes: int = 0
    """How many oddities (warnings of pg_dump, files that came or went, sockets left out) the manifest lists."""
    retention: "RetentionOutcome | None" = None
    """Absent when the plan has no retention, or the run did not come so far."""
    audit: "AuditOutcome | None" = None
    """Absent when the plan wants no row, or the runner could not try."""


class RetentionOutcome(BaseModel):
    """What became of the older bundles. A failure here never fails a run."""

    model_config = Result.model_config

    survivors: str | None = None
    """The marks (`domain.retention.mark`) of all runs whose bundles are in the folder, joined. Absent when the listing can't be trusted
    or they are too many to say: then nothing is known."""
    pruned: int = 0
    problem: str | None = None
    """One sentence: why nothing, or not everything, was removed."""


class AuditOutcome(BaseModel):
    model_config = Result.model_config

    logged: bool
    reason: Reason
    message: str


class StoredBundle(BaseModel):
    """A bundle that was committed and read back."""

    model_config = Result.model_config

    path: str
    """Below the root of the claim."""
    size_bytes: int
    sha256: str
    database: "StoredComponent"
    files: "StoredComponent | None" = None
    """Absent when the plan names no files."""
    completed: AwareDatetime
    user_id: int | None = None
    """As whom it was written."""


class StoredComponent(BaseModel):
    model_config = Result.model_config

    size_bytes: int
    """As stored, compressed."""
    sha256: str


def plan_digest(text: bytes) -> str:
    """What the operator says of a plan in the arguments of its container, which, unlike the annotation that holds the plan, nobody can change:
    its SHA-256."""
    return hashlib.sha256(text).hexdigest()


def to_line(result: Result) -> bytes:
    """The result as one JSON line within `RESULT_LIMIT`: sentences give way first, then the list of survivors."""
    for shortened in (result, *(_with_sentences(result, limit) for limit in (384, 256, 128))):
        if len(line := _line(shortened)) <= RESULT_LIMIT:
            return line
    retention = shortened.retention and shortened.retention.model_copy(update={"survivors": None})
    return _line(shortened.model_copy(update={"retention": retention}))


def _line(result: Result) -> bytes:
    return result.model_dump_json(by_alias=True, exclude_none=True).encode()


def _with_sentences(result: Result, limit: int) -> Result:
    """Each of at most so many bytes."""

    def cut(text: str | None) -> str | None:
        return text and text.encode()[:limit].decode(errors="ignore")

    retention, audit = result.retention, result.audit
    update = {
        "message": cut(result.message),
        "retention": retention and retention.model_copy(update={"problem": cut(retention.problem)}),
        "audit": audit and audit.model_copy(update={"message": cut(audit.message)}),
    }
    return result.model_copy(update=update)
