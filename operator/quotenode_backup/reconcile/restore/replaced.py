"""What a restore keeps of what it replaced, or has left when it failed: a small Job removes it when its time is over."""

from datetime import datetime, timedelta

from quotenode_backup.cluster.errors import NameTaken, Refused
from quotenode_backup.cluster.restore_objects import Restore, RestoreRun
from quotenode_backup.contract.restore_results import ExpiryResult
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.restore_jobs import EXPIRE, expire_job
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.followup import Begin, Done, Failed, Followup, Pause
from quotenode_backup.reconcile.jobs.placement import Misplaced
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL, POLL_EXTERNAL, POLL_REFUSED
from quotenode_backup.reconcile.restore import status as next_status
from quotenode_backup.reconcile.restore.needs import placement_of
from quotenode_backup.reconcile.restore.plan import expiry_plan
from quotenode_backup.reconcile.restore.source import Unresolved, resolve

GIVES_UP_AFTER = 12
"""Jobs of a restore that failed. What they leave says of itself when it may be removed, and the next restore does that."""
GIVES_UP_DELETION_AFTER = 3
"""Jobs of a resource that is being deleted, which must not hang for long because of a server that is gone."""
REMOVED = "What the restore had kept or left is removed"
LEFT = "What is left is removed by the next restore of this target, when its time is over"


def due(run: Restore) -> datetime | None:
    """When what is kept must go. None: as soon as possible."""
    if not isinstance(run, RestoreRun) or run.status.point_of_no_return is None or run.deleting:
        return None
    return run.status.point_of_no_return + timedelta(seconds=run.spec.keep_replaced_seconds)


def gives_up(run: Restore, failures: int) -> bool:
    """Whether after so many Jobs that failed there is no other."""
    if run.deleting:
        return failures >= GIVES_UP_DELETION_AFTER
    return failures >= GIVES_UP_AFTER and not run.status.point_of_no_return


class ReplacedData:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._followup = Followup(context, EXPIRE, ExpiryResult)

    async def remove_in_time(self, run: Restore) -> timedelta | None:
        """How long until the next pass; None: there is nothing to remove. The finalizer stays until then."""
        if not isinstance(run, RestoreRun) or not next_status.may_have_left(run):
            await self._let_go(run)
            return None
        until, now = due(run), self._context.clock()
        if until and now < until:
            await self._context.cluster.restores.write_status(run, next_status.kept_until(run, until))
            return until - now
        return await self._remove(run)

    async def _remove(self, run: RestoreRun) -> timedelta | None:
        match await self._followup.next(run.owner):
            case Begin(number):
                return await self._begin(run, number)
            case Pause(requeue_after):
                return requeue_after
            case Done():
                await self._context.events.record(of_run(run, Reason.REPLACED_DATA_REMOVED, REMOVED))
                await self._gone(run, REMOVED)
            case Failed(number, reason, message, requeue_after):
                if not gives_up(run, number):
                    return await self._write(run, f"{reason}: {message}", requeue_after)
                await self._give_up(run, reason, message)
        return NOW

    async def _begin(self, run: RestoreRun, number: int) -> timedelta:
        cluster, now = self._context.cluster, self._context.clock()
        if await self._is_in_use(run):
            return POLL
        try:
            found = await resolve(cluster, run)
        except Unresolved as missing:
            await self._give_up(run, missing.reason, missing.message)
            return NOW
        placement = await placement_of(cluster, run, found, EXPIRE)
        if isinstance(placement, Misplaced):
            return await self._misplaced(run, placement)
        plan = expiry_plan(run, found, number, now)
        try:
            await cluster.jobs.ensure(expire_job(plan, found.database, run.spec.pod, placement, self._context.settings))
        except (Refused, NameTaken) as exc:
            return await self._write(run, f"The cluster refuses the Job that removes what is left: {exc}", POLL_REFUSED)
        return POLL_EXTERNAL

    async def _is_in_use(self, run: RestoreRun) -> bool:
        """Whether another restore of the same database has not ended, which may be about to put back what is kept."""
        unfinished = await self._context.cluster.restores.unfinished(run.namespace)
        return any(one.target == run.target and one.owner.uid != run.uid for one in unfinished)

    async def _misplaced(self, run: RestoreRun, found: Misplaced) -> timedelta:
        if not run.deleting:
            return await self._write(run, found.message, POLL_REFUSED)
        await self._give_up(run, found.reason, found.message)
        return NOW

    async def _give_up(self, run: RestoreRun, reason: Reason, message: str) -> None:
        told = f"{message}. {LEFT}"
        await self._context.events.record(of_run(run, reason, told, warning=True, about="leftovers"))
        await self._gone(run, told)

    async def _gone(self, run: RestoreRun, message: str) -> None:
        await self._context.cluster.restores.write_status(run, next_status.removed(run, message, self._context.clock()))

    async def _let_go(self, run: Restore) -> None:
        """What a resource of another release has left, only that release knows."""
        if run.has_finalizer and (run.deleting or isinstance(run, RestoreRun)):
            await self._context.cluster.restores.set_finalizer(run, present=False)

    async def _write(self, run: RestoreRun, message: str, requeue_after: timedelta) -> timedelta:
        status = next_status.removing(run, message, self._context.clock())
        await self._context.cluster.restores.write_status(run, status)
        return requeue_after
