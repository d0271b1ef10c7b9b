"""The attempt to swap: its Job is created in the pass that records the attempt, and in no other.

A later pass that does not find the Job cannot tell whether there was one, and whether that has swapped.
"""

from datetime import datetime, timedelta

from quotenode_backup.cluster.errors import NameTaken, Refused
from quotenode_backup.cluster.restore_objects import RestoreRun
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.manifests.restore_jobs import SWAP, swap_job
from quotenode_backup.reconcile.jobs.attempt import Jobs
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.grace_timers import GraceTimers
from quotenode_backup.reconcile.jobs.placement import Misplaced
from quotenode_backup.reconcile.reporting import conditions
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import POLL, POLL_EXTERNAL, PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter
from quotenode_backup.reconcile.restore import plan as plans
from quotenode_backup.reconcile.restore import status as next_status
from quotenode_backup.reconcile.restore.ending import Ending, refusal_of
from quotenode_backup.reconcile.restore.needs import placement_of
from quotenode_backup.reconcile.restore.source import Resolved
from quotenode_backup.reconcile.restore.stages import is_undecided

KEPT_FOR = timedelta(hours=1)
"""How long the Jobs stay that could not tell which data is live. There is one each minute, for as long as the server is down."""


class SwapAttempts:
    def __init__(self, context: Context, ending: Ending, timers: GraceTimers) -> None:
        self._context, self._ending, self._timers = context, ending, timers
        self._writer = StatusWriter(context.cluster.restores, context.events)

    async def begin(self, run: RestoreRun, found: Resolved, number: int, work: Jobs, now: datetime) -> PassResult:
        placement = await placement_of(self._context.cluster, run, found, SWAP)
        if isinstance(placement, Misplaced):
            return await self._held_up(run, placement.reason, placement.message, now)
        await self._remove_old(run, work, now)
        status = next_status.attempt_begun(run, SWAP, number, placement.user, now)
        run = await self._context.cluster.restores.write_status(run, status)
        refusal = await self._create(run, found, placement)
        if refusal is None:
            self._timers.reset(run.owner.key)
            return PassResult(POLL)
        reason, message = refusal
        run = await self._context.cluster.restores.write_status(
            run, next_status.attempt_dropped(run, reason, message, now)
        )
        return await self._held_up(run, reason, message, now)

    async def _create(self, run: RestoreRun, found: Resolved, placement: Placement) -> tuple[Reason, str] | None:
        """Why the cluster refuses the Job; None if it exists. After any other error it may exist all the same."""
        attempt = run.status.attempts[-1]
        await self._context.events.record(of_run(run, Reason.JOB_CREATED, f"Creating Job {attempt.job_name}"))
        plan = plans.swap_plan(run, found, attempt)
        job = swap_job(plan, found.database, run.spec.pod, placement, self._context.settings)
        try:
            await self._context.cluster.jobs.ensure(job)
        except (NameTaken, Refused) as exc:
            return refusal_of(exc)
        return None

    async def _held_up(self, run: RestoreRun, reason: Reason, message: str, now: datetime) -> PassResult:
        """There is no Job, for a cause that may go away by itself. In the middle of a swap that is waited for without an end."""
        self._timers.record(run, reason, now)
        if self._timers.exceeded(run, reason, now) and not is_undecided(run):
            return await self._ending.fail(run, reason, message, now)
        return await self._writer.write(run, conditions.observed(run, run.status, reason, message, now), POLL_EXTERNAL)

    async def _remove_old(self, run: RestoreRun, work: Jobs, now: datetime) -> None:
        if is_undecided(run):
            for job in work.jobs:
                if job.ended and job.ended + KEPT_FOR < now and not job.deleting:
                    await self._context.cluster.jobs.delete(run.namespace, job)
