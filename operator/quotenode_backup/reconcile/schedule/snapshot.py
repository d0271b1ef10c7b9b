"""What the metrics show of a schedule. Each pass reads it from the status and the runs, so a restart loses nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from quotenode_backup.api.backup import STALE_AFTER
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.cluster.objects import Backup, Schedule, UnreadableSchedule


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One schedule. None: there is no sample, which is not the same as zero."""

    created: datetime
    stale_after_seconds: int
    suspended: bool
    last_success: datetime | None
    last_attempt: datetime | None
    """When a run last began or ended."""
    last_failed: bool | None
    """Whether the run that was the last to end failed."""
    last_size_bytes: int | None
    last_duration_seconds: int | None
    next_slot: datetime | None
    running: int
    """How many runs are unfinished, including those that wait."""
    waiting_since: datetime | None
    """When the oldest run that waits for its lock was created."""
    running_since: datetime | None
    """When the oldest run at work got its lock."""
    running_until: datetime | None
    """The deadline of the oldest run at work."""
    missed_slots: int
    skipped_slots: int


ServeBy = dict[tuple[str, str], datetime]
"""By namespace and database: when an application that an offline run has stopped must serve again. From the Leases."""
Snapshots = dict[tuple[str, str], Snapshot]
"""By namespace and name of the schedule. Passes write it, and the thread that serves the metrics reads it."""


def snapshot(schedule: Schedule | UnreadableSchedule, status: BackupStatus, runs: Sequence[Backup]) -> Snapshot:
    """`status`: the schedule's status after this pass."""
    unfinished = [run for run in runs if not run.is_over]
    at_work = min((run for run in unfinished if run.status.start_time), key=lambda run: run.began, default=None)
    ends = [status.last_successful_time, status.last_failed_time]
    spec = schedule.spec if isinstance(schedule, Schedule) else None
    return Snapshot(
        created=schedule.created,
        stale_after_seconds=spec.stale_after if spec else STALE_AFTER,
        suspended=bool(spec and spec.suspend),
        last_success=status.last_successful_time,
        last_attempt=max([*filter(None, ends), *(run.made for run in runs)], default=None),
        last_failed=_last_failed(*ends),
        last_size_bytes=status.last_size_bytes,
        last_duration_seconds=status.last_duration_seconds,
        next_slot=status.next_schedule_time,
        running=len(unfinished),
        waiting_since=min((run.created for run in unfinished if not run.status.start_time), default=None),
        running_since=at_work.began if at_work else None,
        running_until=at_work.deadline if at_work else None,
        missed_slots=status.missed_slots or 0,
        skipped_slots=status.skipped_slots or 0,
    )


def _last_failed(good: datetime | None, bad: datetime | None) -> bool | None:
    if good is None or bad is None:
        return None if good is bad else bad is not None
    return bad > good
