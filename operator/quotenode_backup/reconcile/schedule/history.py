"""The past of a schedule: what its status keeps of its runs, and which old runs may be deleted. Pure.

A run is deleted only after the status has recorded its outcome, so that the metrics and the age of the last backup do
not depend on the run's resource.
"""

from collections.abc import Sequence
from datetime import datetime

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.conditions import ConditionType, Phase
from quotenode_backup.api.schedule_status import LastRun
from quotenode_backup.cluster.objects import Backup

REMOVED_AT_ONCE = 20


def with_runs(status: BackupStatus, runs: Sequence[Backup]) -> BackupStatus:
    """The status with the outcomes of the existing runs added to what is recorded of earlier ones."""
    good = [run.status for run in runs if run.status.completion_time and run.status.holds(ConditionType.COMPLETE)]
    bad = [run.status for run in runs if run.status.completion_time and run.status.holds(ConditionType.FAILED)]
    newest = max(runs, key=_order, default=None)
    update: dict[str, object] = {
        "last_failed_time": _newest([status, *bad], "last_failed_time"),
        "last_run": LastRun(name=newest.name, phase=newest.status.phase or Phase.PENDING)
        if newest
        else status.last_run,
    }
    return _with_success(status, good).model_copy(update=update)


def _order(run: Backup) -> tuple[datetime, datetime, str]:
    """Creation timestamps are whole seconds: of two runs created in one second, the one that started later is newer."""
    return run.made, run.began, run.uid


def _newest(found: Sequence[BackupStatus], remembered: str) -> datetime | None:
    times = [getattr(found[0], remembered), *(one.completion_time for one in found[1:])]
    return max(filter(None, times), default=None)


def _with_success(status: BackupStatus, good: Sequence[BackupStatus]) -> BackupStatus:
    """Time, size and duration are always those of the same run."""
    last = _newest([status, *good], "last_successful_time")
    found = next((one for one in good if one.completion_time == last), None)
    if found is None or last is None:
        return status
    took = max(0, int((last - found.start_time).total_seconds())) if found.start_time else None
    update = {"last_successful_time": last, "last_size_bytes": found.size_bytes, "last_duration_seconds": took}
    return status.model_copy(update=update)


def beyond_limits(spec: BackupSpec, runs: Sequence[Backup]) -> tuple[Backup, ...]:
    """The oldest finished runs above the limits, a few at a time. A run with a local bundle neither counts nor goes."""
    settled = (run for run in runs if run.status.is_finished and not run.deleting and not run.status.is_sought)
    ended = sorted(settled, key=_when_ended, reverse=True)
    failed = [run for run in ended if run.status.holds(ConditionType.FAILED)]
    bare = [run for run in ended if run not in failed and not run.status.holds(ConditionType.LOCAL_BUNDLE_PRESENT)]
    above = bare[spec.successful_runs_kept :]
    above += failed[spec.failed_runs_kept :]
    return tuple(sorted((run for run in above if not run.status.owes_row), key=_when_ended)[:REMOVED_AT_ONCE])


def _when_ended(run: Backup) -> tuple[datetime, str]:
    return run.status.completion_time or run.created, run.uid
