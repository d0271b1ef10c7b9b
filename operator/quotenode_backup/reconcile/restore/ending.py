"""How an attempt or a restore ends. Events are recorded first: once the status is written, no pass records them again."""

from datetime import datetime

from quotenode_backup.cluster.errors import Invalid, NameTaken, Refused
from quotenode_backup.cluster.restore_objects import Restore, RestoreRun
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.grace_timers import GraceTimers
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter
from quotenode_backup.reconcile.restore import status as next_status


def refusal_of(exc: NameTaken | Refused) -> tuple[Reason, str]:
    """Why a Job could not be created, and what to do."""
    if isinstance(exc, NameTaken):
        return Reason.NAME_COLLISION, f"{exc}: remove or rename it"
    advice = "Correct spec.pod" if isinstance(exc, Invalid) else "Raise the quota or relax the policy"
    return Reason.POD_REJECTED, f"The cluster refuses the Job: {exc}. {advice}"


class Ending:
    def __init__(self, context: Context, timers: GraceTimers) -> None:
        self._context, self._timers = context, timers
        self._writer = StatusWriter(context.cluster.restores, context.events)

    async def end_attempt(self, run: RestoreRun, ended: Ended[Result], now: datetime) -> PassResult:
        self._timers.reset(run.owner.key)
        is_failure = ended.reason is not Reason.LOCK_BUSY
        await self._context.events.record(of_run(run, ended.reason, ended.message, warning=is_failure))
        return await self._writer.write(run, next_status.attempt_ended(run, ended, now))

    async def fail(self, run: Restore, reason: Reason, message: str, now: datetime) -> PassResult:
        self._timers.reset(run.owner.key)
        await self._context.events.record(of_run(run, reason, message, warning=True))
        return await self._writer.finish(run, next_status.failed(run, reason, message, now))

    async def complete(self, run: RestoreRun, now: datetime) -> PassResult:
        self._timers.reset(run.owner.key)
        status = next_status.completed(run, now)
        await self._context.events.record(of_run(run, Reason.COMPLETED, status.message or ""))
        return await self._writer.finish(run, status)
