"""The reasons of statuses, conditions and Events, and what each reason of a failure means for exit code and retry.

The reasons are part of the API: they appear in `status.reason`, conditions, Events and alerts.
Exit codes follow sysexits.h where it has a fitting one.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Exit(IntEnum):
    """The runner's exit codes."""

    OK = 0
    BAD_REQUEST = 64
    CORRUPT_DATA = 65
    UNAVAILABLE = 69
    INTERNAL = 70
    NO_SPACE = 73
    IO_ERROR = 74
    BUSY = 75
    REFUSED = 77
    BAD_CONFIG = 78
    DEADLINE = 124  # as timeout(1)
    KILLED = 137  # as a shell reports SIGKILL
    TERMINATED = 143  # as a shell reports SIGTERM


class Reason(StrEnum):
    """Every reason of a status, a condition or an Event (docs/reasons.md)."""

    # A run that goes well.
    ACCEPTED = "Accepted"
    WAITING_FOR_TARGET = "WaitingForTarget"
    WAITING_FOR_CAPACITY = "WaitingForCapacity"
    STOPPING_APPLICATION = "StoppingApplication"
    JOB_CREATED = "JobCreated"
    JOB_RUNNING = "JobRunning"
    COMPLETED = "Completed"

    # Beside the backup itself.
    APPLICATION_STARTED = "ApplicationStarted"
    PRUNED = "Pruned"
    RETENTION_FAILED = "RetentionFailed"
    AUDIT_LOGGED = "AuditLogged"
    AUDIT_PENDING = "AuditPending"
    AUDIT_TABLE_UNFIT = "AuditTableUnfit"
    AUDIT_FAILED = "AuditFailed"
    REMOVING_BUNDLE = "RemovingBundle"
    RECREATED = "Recreated"
    SEARCHING_BUNDLE = "SearchingBundle"
    BUNDLE_FOUND = "BundleFound"
    BUNDLE_MISSING = "BundleMissing"

    # The life of a schedule.
    SCHEDULED = "Scheduled"
    SUSPENDED = "Suspended"
    SCHEDULE_INVALID = "ScheduleInvalid"
    RUN_CREATED = "RunCreated"
    SLOT_MISSED = "SlotMissed"
    SLOT_SKIPPED = "SlotSkipped"
    RUN_REFUSED = "RunRefused"
    TRIGGER_IGNORED = "TriggerIgnored"
    BACKUP_STALE = "BackupStale"
    BACKUP_FRESH = "BackupFresh"

    # Reported by the runner.
    PLAN_INVALID = "PlanInvalid"
    SECRET_MISSING = "SecretMissing"
    CREDENTIALS_REFUSED = "CredentialsRefused"
    DATABASE_NOT_FOUND = "DatabaseNotFound"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    SOURCE_CONNECTION_LOST = "SourceConnectionLost"
    PERMISSION_DENIED = "PermissionDenied"
    SERVER_UNVERIFIED = "ServerUnverified"
    POOLER_REFUSED = "PoolerRefused"
    SERVER_TOO_NEW = "ServerTooNew"
    LOCK_BUSY = "LockBusy"
    TABLE_LOCKED = "TableLocked"
    TABLE_REWRITTEN = "TableRewritten"
    DUMP_FAILED = "DumpFailed"
    SOURCE_PATH_MISSING = "SourcePathMissing"
    FILE_UNREADABLE = "FileUnreadable"
    FILE_CHANGED = "FileChanged"
    DESTINATION_NOT_WRITABLE = "DestinationNotWritable"
    NO_SPACE = "NoSpace"
    IO_ERROR = "IOError"

    # Reported by the runner of a restore, about the database.
    DUMP_UNREADABLE = "DumpUnreadable"
    ROLE_MISSING = "RoleMissing"
    EXTENSION_MISSING = "ExtensionMissing"
    EXTENSION_UNSUPPORTED = "ExtensionUnsupported"
    SERVER_TOO_OLD = "ServerTooOld"
    REPLICATION_IN_USE = "ReplicationInUse"
    SESSION_IN_THE_WAY = "SessionInTheWay"
    DATABASE_IN_THE_WAY = "DatabaseInTheWay"
    LOAD_FAILED = "LoadFailed"
    ROWS_DIFFER = "RowsDiffer"
    NOT_LOADED = "NotLoaded"
    SUPERSEDED = "Superseded"
    SWAP_UNDECIDED = "SwapUndecided"

    # Reported by the runner of any command.
    READ_BACK_MISMATCH = "ReadBackMismatch"
    ARCHIVE_INVALID = "ArchiveInvalid"
    FILES_NOT_REPLACEABLE = "FilesNotReplaceable"
    SWAP_UNFINISHED = "SwapUnfinished"
    CHILD_KILLED = "ChildKilled"
    INTERRUPTED = "Interrupted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    INTERNAL_ERROR = "InternalError"

    # Reported by the runner of a restore, about the bundle and the application.
    BUNDLE_INVALID = "BundleInvalid"
    OTHER_DATABASE = "OtherDatabase"
    SOURCE_MISSING = "SourceMissing"
    HEALTH_CHECK_FAILED = "HealthCheckFailed"

    # The life of a restore.
    PLAN_ONLY = "PlanOnly"
    VERIFIED = "Verified"
    LOADED = "Loaded"
    RESTORED = "Restored"
    REPLACED_DATA_KEPT = "ReplacedDataKept"
    REPLACED_DATA_REMOVED = "ReplacedDataRemoved"
    CLEANING_UP = "CleaningUp"
    HEALTHY = "Healthy"

    # Found by the operator.
    CLAIM_MISSING = "ClaimMissing"
    CLAIMS_APART = "ClaimsApart"
    CLAIM_IN_USE = "ClaimInUse"
    SPEC_INVALID = "SpecInvalid"
    OLDER_THAN_POLICY = "OlderThanPolicy"
    POLICY_NOT_ENFORCED = "PolicyNotEnforced"
    RUN_AS_USER_NEEDED = "RunAsUserNeeded"
    IMAGE_PULL = "ImagePull"
    POD_REJECTED = "PodRejected"
    UNSCHEDULABLE = "Unschedulable"
    OOM_KILLED = "OOMKilled"
    POD_LOST = "PodLost"
    RESULT_MISSING = "ResultMissing"
    NODE_UNREACHABLE = "NodeUnreachable"
    NAME_COLLISION = "NameCollision"
    WORKLOAD_MISSING = "WorkloadMissing"
    WORKLOAD_AUTOSCALED = "WorkloadAutoscaled"
    WORKLOAD_DELETES_DATA = "WorkloadDeletesData"
    WORKLOAD_SCALED_UP = "WorkloadScaledUp"
    WORKLOAD_NOT_SCALED = "WorkloadNotScaled"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reason of a failure means: the runner's exit code, and whether another attempt can help."""

    exit_code: Exit
    retryable: bool


_RETRY, _FINAL = True, False

VERDICTS: dict[Reason, Verdict] = {
    Reason.PLAN_INVALID: Verdict(Exit.BAD_REQUEST, _FINAL),
    Reason.SECRET_MISSING: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.CREDENTIALS_REFUSED: Verdict(Exit.REFUSED, _FINAL),
    Reason.DATABASE_NOT_FOUND: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.SOURCE_UNREACHABLE: Verdict(Exit.UNAVAILABLE, _RETRY),
    Reason.SOURCE_CONNECTION_LOST: Verdict(Exit.UNAVAILABLE, _RETRY),
    Reason.PERMISSION_DENIED: Verdict(Exit.REFUSED, _FINAL),
    Reason.SERVER_UNVERIFIED: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.POOLER_REFUSED: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.SERVER_TOO_NEW: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.LOCK_BUSY: Verdict(Exit.BUSY, _RETRY),
    Reason.TABLE_LOCKED: Verdict(Exit.UNAVAILABLE, _RETRY),
    Reason.TABLE_REWRITTEN: Verdict(Exit.UNAVAILABLE, _RETRY),
    Reason.DUMP_FAILED: Verdict(Exit.IO_ERROR, _RETRY),
    Reason.SOURCE_PATH_MISSING: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.FILE_UNREADABLE: Verdict(Exit.IO_ERROR, _FINAL),
    Reason.FILE_CHANGED: Verdict(Exit.IO_ERROR, _RETRY),
    Reason.DESTINATION_NOT_WRITABLE: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.NO_SPACE: Verdict(Exit.NO_SPACE, _FINAL),
    Reason.IO_ERROR: Verdict(Exit.IO_ERROR, _RETRY),
    Reason.DUMP_UNREADABLE: Verdict(Exit.CORRUPT_DATA, _FINAL),
    Reason.ROLE_MISSING: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.EXTENSION_MISSING: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.EXTENSION_UNSUPPORTED: Verdict(Exit.REFUSED, _FINAL),
    Reason.SERVER_TOO_OLD: Verdict(Exit.REFUSED, _FINAL),
    Reason.REPLICATION_IN_USE: Verdict(Exit.REFUSED, _FINAL),
    Reason.SESSION_IN_THE_WAY: Verdict(Exit.BUSY, _RETRY),
    Reason.DATABASE_IN_THE_WAY: Verdict(Exit.REFUSED, _FINAL),
    Reason.LOAD_FAILED: Verdict(Exit.IO_ERROR, _RETRY),
    Reason.ROWS_DIFFER: Verdict(Exit.CORRUPT_DATA, _RETRY),
    Reason.NOT_LOADED: Verdict(Exit.UNAVAILABLE, _RETRY),
    Reason.SUPERSEDED: Verdict(Exit.BUSY, _FINAL),
    Reason.SWAP_UNDECIDED: Verdict(Exit.UNAVAILABLE, _RETRY),
    Reason.READ_BACK_MISMATCH: Verdict(Exit.CORRUPT_DATA, _RETRY),
    Reason.SOURCE_MISSING: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.BUNDLE_INVALID: Verdict(Exit.CORRUPT_DATA, _FINAL),
    Reason.OTHER_DATABASE: Verdict(Exit.REFUSED, _FINAL),
    Reason.HEALTH_CHECK_FAILED: Verdict(Exit.UNAVAILABLE, _FINAL),
    Reason.ARCHIVE_INVALID: Verdict(Exit.CORRUPT_DATA, _FINAL),
    Reason.FILES_NOT_REPLACEABLE: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.SWAP_UNFINISHED: Verdict(Exit.IO_ERROR, _RETRY),
    Reason.CHILD_KILLED: Verdict(Exit.KILLED, _RETRY),
    Reason.INTERRUPTED: Verdict(Exit.TERMINATED, _RETRY),
    Reason.DEADLINE_EXCEEDED: Verdict(Exit.DEADLINE, _FINAL),
    Reason.INTERNAL_ERROR: Verdict(Exit.INTERNAL, _RETRY),
    Reason.AUDIT_TABLE_UNFIT: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.RETENTION_FAILED: Verdict(Exit.BAD_CONFIG, _FINAL),
    Reason.OOM_KILLED: Verdict(Exit.KILLED, _RETRY),
    Reason.POD_LOST: Verdict(Exit.KILLED, _RETRY),
    Reason.RESULT_MISSING: Verdict(Exit.INTERNAL, _RETRY),
}


def is_retryable(reason: Reason) -> bool:
    """Whether another attempt can have another outcome. A reason without a verdict is final."""
    verdict = VERDICTS.get(reason)
    return verdict is not None and verdict.retryable


class RunFailed(Exception):
    """A command of the runner failed: an attempt made no bundle, or a row was not written, or a bundle not removed.

    `message` is one sentence for a person: what is wrong, where, and what to do.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
