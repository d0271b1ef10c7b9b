"""The attempts that replace nothing: to verify, to load, and to ask the application whether it serves.

Their Jobs can be created again by any pass, since their names follow from the numbers of the attempts.
"""

from datetime import datetime

from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.errors import NameTaken, Refused
from quotenode_backup.cluster.restore_objects import RestoreRun
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.manifests.pod import Manifest
from quotenode_backup.manifests.restore_jobs import HEALTH, VERIFY, health_job, load_job, verify_job
from quotenode_backup.reconcile.jobs.attempt_status import attempt_observed
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.grace_timers import GraceTimers
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.jobs.placement import Misplaced
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import POLL, POLL_EXTERNAL, PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter
from quotenode_backup.reconcile.restore import plan as plans
from quotenode_backup.reconcile.restore import status as next_status
from quotenode_backup.reconcile.restore.ending import Ending, refusal_of
from quotenode_backup.reconcile.restore.needs import beside_no_claim, placement_of
from quotenode_backup.reconcile.restore.source import Resolved
from quotenode_backup.reconcile.restore.stages import step_of


class StageJobs:
    """`found` is only needed by a Job that reads the bundle."""

    def __init__(self, context: Context, ending: Ending, timers: GraceTimers) -> None:
        self._context, self._ending, self._timers = context, ending, timers
        self._writer = StatusWriter(context.cluster.restores, context.events)

    async def begin(self, run: RestoreRun, found: Resolved | None, step: str, number: int, now: datetime) -> PassResult:
        placement = await self._placement(run, found, step)
        user = placement.user if isinstance(placement, Placement) else None
        return await self._writer.write(run, next_status.attempt_begun(run, step, number, user, now))

    async def create(self, run: RestoreRun, found: Resolved | None, attempt: Attempt, now: datetime) -> PassResult:
        step = step_of(run, attempt)
        placement = await self._placement(run, found, step)
        if isinstance(placement, Misplaced):
            return await self._held_up(run, placement.reason, placement.message, now)
        await self._context.events.record(of_run(run, Reason.JOB_CREATED, f"Creating Job {attempt.job_name}"))
        try:
            await self._context.cluster.jobs.ensure(self._job(run, found, attempt, step, placement))
        except (NameTaken, Refused) as exc:
            return await self._held_up(run, *refusal_of(exc), now)
        self._timers.reset(run.owner.key)
        return PassResult(POLL)

    async def _placement(self, run: RestoreRun, found: Resolved | None, step: str) -> Placement | Misplaced:
        if step == HEALTH:
            return beside_no_claim(run)
        return await placement_of(self._context.cluster, run, _required(found), step)

    def _job(
        self, run: RestoreRun, found: Resolved | None, attempt: Attempt, step: str, placement: Placement
    ) -> Manifest:
        pod, settings = run.spec.pod, self._context.settings
        if step == HEALTH:
            return health_job(plans.health_plan(run, attempt), pod, placement, settings)
        source = _required(found)
        if step == VERIFY:
            return verify_job(plans.verify_plan(run, source, attempt), source.database, pod, placement, settings)
        return load_job(plans.load_plan(run, source, attempt), source.database, pod, placement, settings)

    async def _held_up(self, run: RestoreRun, reason: Reason, message: str, now: datetime) -> PassResult:
        """The attempt has no Job yet, for a cause that may go away by itself."""
        self._timers.record(run, reason, now)
        if self._timers.exceeded(run, reason, now):
            return await self._ending.end_attempt(run, Ended[Result](reason, message), now)
        status = attempt_observed(run, run.status, reason, message, message, now)
        return await self._writer.write(run, status, POLL_EXTERNAL)


def _required(found: Resolved | None) -> Resolved:
    assert found, "before data is replaced, a restore without its source has failed"
    return found
