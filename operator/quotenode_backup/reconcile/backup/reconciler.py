"""One pass over a run: observe everything live, decide the one next step, carry it out.

Each step is safe to repeat, so a pass that dies anywhere is simply made again. Two orders matter: an Event is recorded
before the Job or the status that would keep later passes from recording it, and a Job gets its time to live only after
its end is in the status.
"""

from datetime import datetime, timedelta

from quotenode_backup.api.backup import Mode
from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.errors import Invalid, NameTaken, Refused, Unavailable
from quotenode_backup.cluster.objects import Backup, BackupRun, Job, Lease, Pod, UnreadableRun
from quotenode_backup.contract.results import BackupResult
from quotenode_backup.domain import timing
from quotenode_backup.domain.owner import Key
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.backup_job import BACKUP, backup_job
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.backup.acceptance import Acceptance
from quotenode_backup.reconcile.backup.decisions import Seen, next_step
from quotenode_backup.reconcile.backup.ending import Ending
from quotenode_backup.reconcile.backup.needs import placement_of
from quotenode_backup.reconcile.backup.offline import OfflineSteps
from quotenode_backup.reconcile.backup.plan import plan_of
from quotenode_backup.reconcile.backup.steps import Accept, BeginAttempt, Complete, Step, TakeLock
from quotenode_backup.reconcile.jobs.attempt import Jobs
from quotenode_backup.reconcile.jobs.attempt_status import attempt_begun, attempt_observed
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.followup import warning_about
from quotenode_backup.reconcile.jobs.grace_timers import GraceTimers
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.jobs.placement import Misplaced
from quotenode_backup.reconcile.jobs.steps import CreateJob, DeleteJob, EndAttempt, Fail, Observe, Wait
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import POLL, POLL_EXTERNAL, SOON, PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter
from quotenode_backup.reconcile.target import lock, workloads
from quotenode_backup.reconcile.target.acquire import LockAcquirer
from quotenode_backup.reconcile.target.steps import BeginStop, RememberStopped, ScaleDown, StartApplication
from quotenode_backup.reconcile.target.wind_down import WindDown
from quotenode_backup.reconcile.target.workloads import Application


class BackupReconciler:
    """For runs that have not ended and are not being deleted."""

    def __init__(self, context: Context, admission: Admission, locks: LockAcquirer, wind_down: WindDown) -> None:
        self._context = context
        self._locks = locks
        self._timers = GraceTimers()
        self._writer = StatusWriter(context.cluster.backups, context.events)
        self._ending = Ending(context, self._timers)
        self._acceptance = Acceptance(context, self._timers, admission, locks, wind_down)
        self._offline = OfflineSteps(context, self._timers, wind_down)

    async def reconcile(self, run: BackupRun) -> PassResult:
        seen = await self._observe(run)
        return await self._carry_out(next_step(seen), seen)

    async def refuse(self, run: UnreadableRun) -> PassResult:
        advice = "run helm upgrade with the chart of one release, CRDs included, then make the resource again"
        return await self._ending.fail(run, Reason.SPEC_INVALID, f"{run.fault}: {advice}", self._context.clock())

    async def hold(self, run: Backup, found: NotAdmitted) -> PassResult:
        """A run whose author the admission policy has not checked waits, or fails if it never can be checked."""
        return await self._acceptance.hold(run, found, self._context.clock())

    def forget(self, key: Key) -> None:
        """No unfinished run has this name."""
        self._timers.reset(key)
        self._locks.forget(key)

    async def _observe(self, run: BackupRun) -> Seen:
        lease = await lock.of_run(self._context.cluster, run)
        return Seen(
            run=run,
            application=await self._application(run, lease),
            holds_lock=lease is not None and lease.is_held_by(run.owner),
            work=await self._work(run) if run.status.attempts else Jobs(),
            now=self._context.clock(),
        )

    async def _application(self, run: BackupRun, lease: Lease | None) -> Application | None:
        """None for an online run."""
        if run.spec.mode is not Mode.OFFLINE or run.spec.application is None:
            return None
        stopped = lease.stopped if lease and lease.is_held_by(run.owner) else None
        return await workloads.observe(self._context.cluster, run.namespace, run.spec.application.workloads, stopped)

    async def _work(self, run: BackupRun) -> Jobs:
        jobs = await self._context.cluster.jobs.of(run.owner, BACKUP)
        pods = await self._context.cluster.pods.of(run.owner, BACKUP)
        return Jobs(tuple(jobs), tuple(pods), await self._warning(run, jobs, pods))

    async def _warning(self, run: BackupRun, jobs: list[Job], pods: list[Pod]) -> str:
        job = next((job for job in jobs if job.name == run.status.job_name and not job.is_finished), None)
        if job is None or self._context.clock() - job.created < timing.QUIET_PERIOD:
            return ""
        return await warning_about(self._context.cluster, run.namespace, job, pods)

    async def _carry_out(self, step: Step, seen: Seen) -> PassResult:
        run, now = seen.run, seen.now
        match step:
            case Accept():
                return await self._acceptance.accept(run, now)
            case TakeLock():
                return await self._acceptance.take_lock(run, now)
            case BeginStop() | RememberStopped() | ScaleDown() | StartApplication():
                return await self._offline.carry_out(step, run, now)
            case BeginAttempt(number):
                return await self._begin_attempt(seen, number)
            case CreateJob(attempt):
                return await self._create_job(seen, attempt)
            case Observe(reason, message, requeue_after, obstacle):
                status = attempt_observed(run, run.status, reason, message, obstacle, now)
                return await self._writer.write(run, status, requeue_after)
            case EndAttempt(ended):
                return await self._end_attempt(seen, ended)
            case DeleteJob(job):
                await self._context.cluster.jobs.delete(run.namespace, job)
                return PassResult(SOON)
            case Wait(requeue_after):
                return PassResult(requeue_after)
            case Complete(ended):
                return await self._ending.complete(run, ended, now)
            case Fail(reason, message):
                return await self._ending.fail(run, reason, message, now)

    async def _begin_attempt(self, seen: Seen, number: int) -> PassResult:
        """Record the attempt, and its user: if the run is deleted, only that user can remove the attempt's files."""
        placement = await placement_of(self._context.cluster, seen.run, seen.stopped)
        user = placement.user if isinstance(placement, Placement) else None
        status = attempt_begun(seen.run, seen.run.status, BACKUP, number, user, seen.now)
        return await self._writer.write(seen.run, status)

    async def _create_job(self, seen: Seen, attempt: Attempt) -> PassResult:
        run, now = seen.run, seen.now
        placement = await placement_of(self._context.cluster, run, seen.stopped)
        if isinstance(placement, Misplaced):
            return await self._misplaced(run, placement, now)
        await self._context.events.record(of_run(run, Reason.JOB_CREATED, f"Creating Job {attempt.job_name}"))
        try:
            await self._context.cluster.jobs.ensure(self._job(run, attempt, placement, now))
        except NameTaken as exc:
            ended = Ended[BackupResult](Reason.NAME_COLLISION, f"{exc}: remove or rename it")
            return await self._ending.end_attempt(run, ended, now)
        except Refused as exc:
            return await self._refused(run, exc, now)
        except Unavailable as exc:  # this includes an admission webhook that does not answer
            if run.status.reason == Reason.POD_REJECTED:
                raise
            message = f"The cluster could not create the backup's Job, which is tried until the deadline: {exc}"
            return await self._blocked(run, Reason.POD_REJECTED, message, now, POLL)
        self._timers.reset(run.owner.key)
        return PassResult(POLL)

    async def _misplaced(self, run: BackupRun, found: Misplaced, now: datetime) -> PassResult:
        """The application's pods may be just restarting."""
        if found.may_pass:
            return await self._held_up(run, found.reason, found.message, now)
        return await self._ending.end_attempt(run, Ended(found.reason, found.message), now)

    async def _refused(self, run: BackupRun, answer: Refused, now: datetime) -> PassResult:
        advice = "Correct spec.pod" if isinstance(answer, Invalid) else "Raise the quota or relax the policy"
        message = f"The cluster refuses the backup's Job: {answer}. {advice}"
        return await self._held_up(run, Reason.POD_REJECTED, message, now)

    async def _held_up(self, run: BackupRun, reason: Reason, message: str, now: datetime) -> PassResult:
        """The attempt has no Job yet, for a cause that may go away by itself within the grace period."""
        self._timers.record(run, reason, now)
        if self._timers.exceeded(run, reason, now):
            return await self._ending.end_attempt(run, Ended(reason, message), now)
        return await self._blocked(run, reason, message, now, POLL_EXTERNAL)

    async def _blocked(
        self, run: BackupRun, reason: Reason, message: str, now: datetime, requeue_after: timedelta
    ) -> PassResult:
        status = attempt_observed(run, run.status, reason, message, message, now)
        return await self._writer.write(run, status, requeue_after)

    def _job(self, run: BackupRun, attempt: Attempt, placement: Placement, now: datetime) -> dict[str, object]:
        plan = plan_of(run, attempt)
        left = timing.deadline(plan.started, run.spec.active_deadline_seconds) - now
        return backup_job(
            plan, run.spec.database, run.spec.pod, placement, self._context.settings, int(left.total_seconds())
        )

    async def _end_attempt(self, seen: Seen, ended: Ended[BackupResult]) -> PassResult:
        """The Jobs that found the lock busy are deleted at once: a run can wait for days and create one each minute."""
        result = await self._ending.end_attempt(seen.run, ended, seen.now)
        job = seen.work.named(seen.run.status.attempts[-1].job_name)
        if job and ended.reason is Reason.LOCK_BUSY:
            await self._context.cluster.jobs.delete(seen.run.namespace, job)
        return result
