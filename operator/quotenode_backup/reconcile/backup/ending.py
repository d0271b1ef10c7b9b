"""How an attempt or a run ends. Events are recorded first: once the status is written, no pass records them again."""

from datetime import datetime
from pathlib import PurePath

from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.cluster.objects import Backup, BackupRun
from quotenode_backup.contract.results import BackupResult, RetentionOutcome
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.retention import is_among
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.status import UNRECORDABLE
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.grace_timers import GraceTimers
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter


class Ending:
    def __init__(self, context: Context, timers: GraceTimers) -> None:
        self._context = context
        self._writer = StatusWriter(context.cluster.backups, context.events)
        self._timers = timers

    async def end_attempt(self, run: Backup, ended: Ended[BackupResult], now: datetime) -> PassResult:
        self._timers.reset(run.owner.key)
        is_failure = ended.reason is not Reason.LOCK_BUSY
        await self._context.events.record(of_run(run, ended.reason, ended.message, warning=is_failure))
        return await self._writer.write(run, next_status.attempt_ended(run, ended, now))

    async def fail(self, run: Backup, reason: Reason, message: str, now: datetime) -> PassResult:
        self._timers.reset(run.owner.key)
        await self._context.events.record(of_run(run, reason, message, warning=True))
        return await self._writer.finish(run, next_status.failed(run, reason, message, now))

    async def complete(self, run: BackupRun, ended: Ended[BackupResult], now: datetime) -> PassResult:
        self._timers.reset(run.owner.key)
        result = ended.result
        if result is None or result.bundle is None:
            raise ValueError("a run is complete only with a bundle")
        if result.retention:
            await self._after_retention(run, result.retention, result.bundle.path, now)
        if result.audit and result.audit.reason in UNRECORDABLE:
            row = result.audit
            await self._context.events.record(of_run(run, row.reason, row.message, warning=True, about="row"))
        await self._context.events.record(of_run(run, Reason.COMPLETED, ended.message))
        return await self._writer.finish(run, next_status.completed(run, result.bundle, ended, now))

    async def _after_retention(self, run: BackupRun, found: RetentionOutcome, path: str, now: datetime) -> None:
        """Mark the runs whose bundles are gone, before this run is Completed, so that a restart here does not skip
        them.

        `path`: of this run's own bundle.
        """
        if found.problem:
            await self._context.events.record(of_run(run, Reason.RETENTION_FAILED, found.problem, warning=True))
        if found.pruned:
            await self._context.events.record(of_run(run, Reason.PRUNED, f"Removed {found.pruned} older bundles"))
        if found.survivors is None and not found.removed:
            return
        async for other in self._context.cluster.backups.stored_beside(run):
            is_present = other.status.holds(ConditionType.LOCAL_BUNDLE_PRESENT)
            # A run that was recreated into another namespace keeps its bundle in the folder of the old namespace.
            is_here = all(PurePath(place.path).parent == PurePath(path).parent for place in other.status.destinations)
            if is_present and is_here and _is_gone(other, found):
                await self._context.cluster.backups.write_status(other, next_status.pruned(other, run.name, now))


def _is_gone(run: Backup, found: RetentionOutcome) -> bool:
    """Whether the run's bundle was removed, or is no longer in the folder. Without survivors only the former is known."""
    if found.removed and is_among(run.bundle_uid, found.removed):
        return True
    return found.survivors is not None and not is_among(run.bundle_uid, found.survivors)
