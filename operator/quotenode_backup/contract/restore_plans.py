"""What the operator tells the runner about a restore. There is one kind of plan for each kind of Job, and no plan contains a secret.

A restore has at most five kinds of Jobs. What reads the bundle and changes nothing is one pod (`verify`), and so is all that is written beside the live
data (`load`). The `swap` is one too, whatever an earlier one has left: it reads from the disk and from the server what is left to do.
"""

from datetime import datetime
from enum import StrEnum

from quotenode_backup.contract.plans import AuditRow, Plan, Planned, PlannedClaim, PlannedDatabase, PlannedFiles


class PlannedSecret(Planned):
    """The name and the keys of a Secret, so that a message can name them."""

    name: str
    username_key: str
    password_key: str


class PlannedBundle(Planned):
    """The bundle that is restored."""

    claim: PlannedClaim
    """`sub_path` is not used: `path` begins at the root of the claim."""
    path: str
    sha256: str | None = None
    """The hash that it must have. Absent if nobody has said."""
    run_uid: str | None = None
    """The run that made it, by the status of its resource. Absent for a bundle that somebody has put on a volume."""


class PlannedRoom(Planned):
    """How it is known how much space the server has for a second copy."""

    free_bytes: int | None = None
    """What the resource says."""
    claim_name: str | None = None
    """The claim that the server's data lies on. It is mounted read-only at `paths.SERVER_VOLUME`."""


class RestorePlan(Plan):
    """What all Jobs of a restore that reach the data are told."""

    database: PlannedDatabase
    """Its lock is taken even if only files are restored."""
    admin: PlannedSecret | None = None
    restores_database: bool = True
    files: tuple[PlannedFiles, ...] = ()
    """The folders whose files are replaced, by their names in the archive. Empty if no files are restored."""
    allow_replication_loss: bool = False


class ReadingPlan(RestorePlan):
    """What the Jobs are told that read the bundle."""

    bundle: PlannedBundle
    room: PlannedRoom = PlannedRoom()
    allow_other_database: bool = False


class VerifyPlan(ReadingPlan):
    """The plan of `verify`, which reads the whole bundle and looks at the target. It changes nothing but the pin."""

    pin_until: datetime | None = None
    """Until when retention must leave the bundle alone. Absent for a dry run, and for a bundle that no retention removes."""


class LoadPlan(ReadingPlan):
    """The plan of `load`, which loads the bundle beside the live data."""

    expires: datetime
    """From when on anybody may remove what is loaded, if the restore has never come to its swap."""


class RestoreSwapPlan(RestorePlan):
    """The plan of `swap`, which puts what is loaded in the place of what is live, or goes on with a swap that was begun.

    Nothing ends it by a clock once it has begun: `deadline` only limits how long it waits until then.
    """

    bundle_sha256: str = ""
    """Of the bundle that was loaded. Empty for an undo."""
    is_first: bool
    """Whether no earlier attempt can have begun to swap."""
    undo_of: str | None = None
    """UID of the restore that is undone. Absent if something was loaded."""
    expires: datetime
    """Until when what is replaced stays."""
    own_row: AuditRow | None = None
    """The row of the backup that is restored, as it is by now: the one in the restored backup_logs says that the backup is still running."""
    own_row_id: str | None = None


class HealthPlan(Plan):
    """The plan of `health`, which asks the application whether it serves."""

    url: str
    timeout_seconds: int


class ExpiryPlan(RestorePlan):
    """The plan of `expire`, which removes what a restore has left and nobody needs any more: the copy, the replaced data, and the pin."""

    bundle: PlannedBundle | None = None
    """The bundle whose pin is removed. Absent if there is no pin."""


class SwapSide(StrEnum):
    """What is live after an attempt to swap."""

    NEW = "New"
    OLD = "Old"
    UNKNOWN = "Unknown"
    """Nobody can tell yet, so that nothing may be started."""
