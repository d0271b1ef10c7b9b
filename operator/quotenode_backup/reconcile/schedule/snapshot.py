"""What the metrics say of a schedule: read off its status and its runs at each pass, so that a restart forgets nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from quotenode_backup.api.backup import STALE_AFTER
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.cluster.objects import Run, Schedule, UnreadableSchedule


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One schedule. None: there is nothing to say, which is not the same as zero."""

    created: datetime
    stale_after_seconds: int
    suspended: bool
    last_success: datetime | None
    last_attempt: datetime | None
    """When a run last began or ended."""
    last_failed: bool | None
    """Whether the run that ended last failed."""
    last_size_bytes: int | None
    last_duration_seconds: int | None
    next_slot: datetime | None
    running: int
    """Runs that are not finished, waiting ones too."""
    waiting_since: datetime | None
    """When the oldest of those that wait for the database or for room was made."""
    running_since: datetime | None
    """When the oldest of those at work got the database's lock."""
    running_until: datetime | None
    """When that one must have ended."""
    missed_slots: int
    skipped_slots: int


ServeBy = dict[tuple[str, str], datetime]
"""Namespace and database of each application that an offline run has stopped, and when it must serve again. Read off the Leases."""
Snapshots = dict[tuple[str, str], Snapshot]
"""Namespace and name of each schedule that exists. Written by passes, read by the thread that serves the metrics."""


def snapshot(schedule: Schedule | UnreadableSchedule, status: BackupStatus, runs: Sequence[Run]) -> Snapshot:
    """`status`: what the schedule's status is after this pass."""
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
