"""One pass over a restore: observe everything live, decide the one next step, carry it out.

Each step is safe to repeat, so a pass that dies anywhere is simply made again.
"""

from quotenode_backup.cluster.objects import Job, Lease, Pod
from quotenode_backup.cluster.restore_objects import AnyRestore, RestoreRun, UnreadableRestore
from quotenode_backup.domain import timing
from quotenode_backup.domain.owner import Key
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.restore_jobs import (
    HEALTH,
    LOAD,
    SWAP,
    VERIFY,
)
from quotenode_backup.reconcile.admission import Admission
from quotenode_backup.reconcile.jobs.attempt import Jobs
from quotenode_backup.reconcile.jobs.attempt_status import attempt_observed
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.followup import warning_about
from quotenode_backup.reconcile.jobs.grace_timers import GraceTimers
from quotenode_backup.reconcile.jobs.steps import CreateJob, DeleteJob, EndAttempt, Fail, Observe, Wait
from quotenode_backup.reconcile.reporting.conditions import observed
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL, POLL_REFUSED, SOON, PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter
from quotenode_backup.reconcile.restore import status as next_status
from quotenode_backup.reconcile.restore.acceptance import Acceptance
from quotenode_backup.reconcile.restore.application import ApplicationSteps
from quotenode_backup.reconcile.restore.decisions import Seen, next_step
from quotenode_backup.reconcile.restore.ending import Ending
from quotenode_backup.reconcile.restore.needs import users_of_files
from quotenode_backup.reconcile.restore.source import Resolved, Unresolved, resolve
from quotenode_backup.reconcile.restore.stage_jobs import StageJobs
from quotenode_backup.reconcile.restore.stages import Goal, goal, is_undecided, must_go_on
from quotenode_backup.reconcile.restore.steps import (
    Accept,
    BeginAttempt,
    BeginSwap,
    Complete,
    KeepResource,
    Start,
    Step,
    TakeHealthy,
    TakeLoaded,
    TakeLock,
    TakeSwapped,
    TakeVerified,
)
from quotenode_backup.reconcile.restore.swap_attempt import SwapAttempts
from quotenode_backup.reconcile.target import lock, workloads
from quotenode_backup.reconcile.target.acquire import LockAcquirer
from quotenode_backup.reconcile.target.steps import BeginStop, RememberStopped, ScaleDown, StartApplication
from quotenode_backup.reconcile.target.wind_down import WindDown
from quotenode_backup.reconcile.target.workloads import Application

STEPS = (VERIFY, LOAD, SWAP, HEALTH)


class RestoreReconciler:
    """For restores that have not ended, and are not being deleted unless they are in the middle of their swap."""

    def __init__(self, context: Context, admission: Admission, locks: LockAcquirer, wind_down: WindDown) -> None:
        self._context = context
        self._locks = locks
        self._timers = GraceTimers()
        self._writer = StatusWriter(context.cluster.restores, context.events)
        self._ending = Ending(context, self._timers)
        self._acceptance = Acceptance(context, self._ending, admission, locks, wind_down)
        self._application = ApplicationSteps(context, self._ending, wind_down)
        self._jobs = StageJobs(context, self._ending, self._timers)
        self._swaps = SwapAttempts(context, self._ending, self._timers)

    async def reconcile(self, run: AnyRestore) -> PassResult:
        if not isinstance(run, RestoreRun):
            return await self._refuse(run)
        found, missing = await self._looked_up(run)
        if missing and not (must_go_on(run) or run.status.point_of_no_return):
            return await self._ending.fail(run, missing.reason, missing.message, self._context.clock())
        seen = await self._observe(run, found)
        step = next_step(seen)
        if missing and isinstance(step, BeginSwap):
            return await self._wait_for_source(run, missing)
        return await self._carry_out(step, seen, found)

    async def _looked_up(self, run: RestoreRun) -> tuple[Resolved | None, Unresolved | None]:
        """What is to be restored, and where to; or what is missing for that. Neither before the restore is accepted."""
        if run.status.source is None:
            return None, None
        try:
            return await resolve(self._context.cluster, run), None
        except Unresolved as missing:
            return None, missing

    async def _refuse(self, run: UnreadableRestore) -> PassResult:
        """Whoever wrote a spec that this release can't read may have begun to swap: then only that release can go on."""
        now = self._context.clock()
        if is_undecided(run):
            message = f"{run.fault}, and its swap is in the middle: install the release again that began it"
            return await self._writer.write(
                run, observed(run, run.status, Reason.SPEC_INVALID, message, now), POLL_REFUSED
            )
        advice = "run helm upgrade with the chart of one release, CRDs included, then make the resource again"
        return await self._ending.fail(run, Reason.SPEC_INVALID, f"{run.fault}: {advice}", now)

    def forget(self, key: Key) -> None:
        self._timers.reset(key)
        self._locks.forget(key)

    async def _wait_for_source(self, run: RestoreRun, missing: Unresolved) -> PassResult:
        """Once the swap may have begun, only what the restore names tells how to get at the data."""
        now = self._context.clock()
        message = f"{missing.message}, since the swap is in the middle and needs it: create it again as it was"
        status = observed(run, run.status, missing.reason, message, now)
        return await self._writer.write(run, status, POLL)

    async def _observe(self, run: RestoreRun, found: Resolved | None) -> Seen:
        cluster = self._context.cluster
        lease = await lock.of_run(cluster, run) if run.target else None
        is_near_swap = found is not None and goal(run) is Goal.SWAPPED
        return Seen(
            run=run,
            holds_lock=lease is not None and lease.is_held_by(run.owner),
            work=await self._work(run) if run.status.attempts else Jobs(),
            now=self._context.clock(),
            application=await self._observed(run, found, lease) if found and is_near_swap else None,
            users=await users_of_files(cluster, run, found) if found and is_near_swap else (),
        )

    async def _observed(self, run: RestoreRun, found: Resolved, lease: Lease | None) -> Application | None:
        if not found.workloads:
            return None
        stopped = lease.stopped if lease and lease.is_held_by(run.owner) else None
        return await workloads.observe(self._context.cluster, run.namespace, found.workloads, stopped)

    async def _work(self, run: RestoreRun) -> Jobs:
        jobs: list[Job] = []
        pods: list[Pod] = []
        for step in STEPS:
            jobs += await self._context.cluster.jobs.of(run.owner, step)
            pods += await self._context.cluster.pods.of(run.owner, step)
        return Jobs(tuple(jobs), tuple(pods), await self._warning(run, jobs, pods))

    async def _warning(self, run: RestoreRun, jobs: list[Job], pods: list[Pod]) -> str:
        job = next((job for job in jobs if job.name == run.status.job_name and not job.is_finished), None)
        if job is None or self._context.clock() - job.created < timing.QUIET_PERIOD:
            return ""
        return await warning_about(self._context.cluster, run.namespace, job, pods)

    async def _carry_out(self, step: Step, seen: Seen, found: Resolved | None) -> PassResult:
        run, now = seen.run, seen.now
        match step:
            case Accept():
                return await self._acceptance.accept(run, now)
            case TakeLock():
                return await self._acceptance.take_lock(run, now)
            case Wait(requeue_after):
                return PassResult(requeue_after)
            case Fail(reason, message):
                return await self._ending.fail(run, reason, message, now)
            case Complete():
                return await self._ending.complete(run, now)
            case EndAttempt(ended):
                return await self._ending.end_attempt(run, ended, now)
            case DeleteJob(job):
                await self._context.cluster.jobs.delete(run.namespace, job)
                return PassResult(SOON)
            case Observe(reason, message, requeue_after, obstacle):
                status = attempt_observed(run, run.status, reason, message, obstacle, now)
                return await self._writer.write(run, status, requeue_after)
            case KeepResource():
                await self._context.cluster.restores.set_finalizer(run, present=True)
                return PassResult(NOW)
        return await self._go_on(step, seen, found)

    async def _go_on(self, step: Step, seen: Seen, found: Resolved | None) -> PassResult:
        """Once data has been replaced, what was restored may be gone."""
        run, now = seen.run, seen.now
        match step:
            case Start():
                return await self._application.start(run, now)
            case BeginAttempt(name, number):
                return await self._jobs.begin(run, found, name, number, now)
            case CreateJob(attempt):
                return await self._jobs.create(run, found, attempt, now)
            case TakeLoaded(loaded):
                return await self._writer.write(run, next_status.loaded(run, loaded, now))
            case TakeSwapped(swapped):
                await self._context.events.record(of_run(run, Reason.RESTORED, swapped.message))
                return await self._writer.write(run, next_status.swapped(run, swapped, now))
            case TakeHealthy(healthy):
                return await self._writer.write(run, next_status.healthy(run, healthy, now))
        assert found, "before data is replaced, a restore without its source has failed"
        return await self._towards_swap(step, seen, found)

    async def _towards_swap(self, step: Step, seen: Seen, found: Resolved) -> PassResult:
        run, now = seen.run, seen.now
        match step:
            case TakeVerified(verified):
                return await self._writer.write(run, next_status.verified(run, found, verified, now))
            case BeginStop() | RememberStopped() | ScaleDown() | StartApplication():
                return await self._application.carry_out(step, run, found, now)
            case BeginSwap(number):
                return await self._swaps.begin(run, found, number, seen.work, now)
        raise AssertionError(step)
