"""One pass over a run: look at everything live, decide the one next step, do it.

Each step is safe to repeat, so a pass that dies anywhere is simply made again. Order matters in one way: an Event is told before the
Job or the status that would keep it from being told, and a Job gets its time to live only after its end is in the status.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import PurePath

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.backup_status import Attempt, ConditionType
from quotenode_backup.cluster.errors import Invalid, NameTaken, Refused, Unavailable
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Job, Pod, Run
from quotenode_backup.contract.results import RetentionOutcome
from quotenode_backup.domain import timing
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.retention import is_among
from quotenode_backup.manifests.backup_job import backup_job
from quotenode_backup.manifests.pod import Placement, RunnerSettings
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.decisions import Seen, next_step
from quotenode_backup.reconcile.backup.placement import Misplaced
from quotenode_backup.reconcile.backup.plan import plan_of
from quotenode_backup.reconcile.backup.status import UNRECORDABLE
from quotenode_backup.reconcile.backup.steps import (
    Accept,
    BeginAttempt,
    BeginStop,
    Complete,
    CreateJob,
    DeleteJob,
    EndAttempt,
    Fail,
    Observe,
    RememberStopped,
    ScaleDown,
    StartApplication,
    Step,
    TakeLock,
    Wait,
)
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.reporting.events import Teller
from quotenode_backup.reconcile.reporting.requeue import LOCK_TICK, SOON, TICK
from quotenode_backup.reconcile.reporting.status_writer import Desk, Pass, spec_of
from quotenode_backup.reconcile.target import lock as locks
from quotenode_backup.reconcile.target import workloads as application
from quotenode_backup.reconcile.target.acquire import Admittance
from quotenode_backup.reconcile.target.scale_down import ApplicationSteps


class RunReconciler:
    """For runs that have not ended and are not being deleted."""

    def __init__(
        self,
        cluster: Cluster,
        settings: RunnerSettings,
        tell: Teller,
        clock: Callable[[], datetime],
        room: locks.Room,
        admission: Admission,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._desk = Desk(cluster, tell)
        self._admittance = Admittance(self._desk, room, admission)
        self._application = ApplicationSteps(self._desk)

    async def reconcile(self, run: Run) -> Pass:
        seen = await self._look(run)
        return await self._carry_out(next_step(seen), seen)

    async def _look(self, run: Run) -> Seen:
        lease = await locks.seen_lease(self._cluster, run)
        has_begun = bool(run.status.attempts)
        jobs = await self._cluster.jobs_of(run.namespace, run.uid) if has_begun else []
        pods = await self._cluster.pods_of(run.namespace, run.uid) if has_begun else []
        return Seen(
            run=run,
            application=await application.look(self._cluster, run, lease),
            holds_lock=lease is not None and lease.holder_uid == run.uid,
            jobs=tuple(jobs),
            pods=tuple(pods),
            now=self._clock(),
            warning=await self._warning(run, jobs, pods),
        )

    async def _warning(self, run: Run, jobs: list[Job], pods: list[Pod]) -> str:
        """Why the newest Job's pod does not come up, as far as only Events say it."""
        job = next((job for job in jobs if job.name == run.status.job_name and not job.is_finished), None)
        if job is None or self._clock() - job.created < timing.QUIET_PERIOD:
            return ""
        pod = next((pod for pod in pods if pod.job_name == job.name), None)
        if pod is None:
            return await self._cluster.newest_warning(run.namespace, "Job", job.name, "FailedCreate")
        if pod.phase == "Pending" and not pod.unscheduled_message:
            return await self._cluster.newest_warning(run.namespace, "Pod", pod.name, "FailedMount")
        return ""

    async def hold(self, run: Run, found: NotAdmitted, now: datetime) -> Pass:
        """A run whose author was not asked, or not yet."""
        return await self._admittance.not_admitted(run, found, now)

    def forget(self, namespace: str, name: str) -> None:
        """There is no run of this name that is on its way."""
        self._desk.patience.renew(namespace, name)
        self._admittance.forget(namespace, name)

    async def _carry_out(self, step: Step, seen: Seen) -> Pass:
        run, now = seen.run, seen.now
        match step:
            case Accept():
                return await self._admittance.accept(run, now)
            case TakeLock():
                return await self._admittance.take_lock(run, now)
            case BeginStop() | RememberStopped() | ScaleDown() | StartApplication():
                return await self._application.carry_out(step, run, now)
            case BeginAttempt(number):
                return await self._begin_attempt(seen, number)
            case CreateJob(attempt):
                return await self._create_job(seen, attempt)
            case Observe(reason, message, again):
                return await self._desk.write(run, next_status.observed(run, reason, message, now), again)
            case EndAttempt(ended):
                result = await self._desk.end_attempt(run, ended, now)
                await self._clear_away_busy(seen, ended)
                return result
            case DeleteJob(job):
                await self._cluster.delete_job(run.namespace, job)
                return Pass(SOON)
            case Wait(again):
                return Pass(again)
            case Complete(ended):
                return await self._complete(run, ended, now)
            case Fail(reason, message):
                return await self._desk.fail(run, reason, message, now)

    async def _begin_attempt(self, seen: Seen, number: int) -> Pass:
        """With the user whose files these will be: should the run be deleted, only that one can remove them."""
        placement = await self._desk.placement(seen.run, seen.stopped)
        user = placement.user if isinstance(placement, Placement) else None
        return await self._desk.write(seen.run, next_status.attempt_begun(seen.run, number, user, seen.now))

    async def _create_job(self, seen: Seen, attempt: Attempt) -> Pass:
        run, now = seen.run, seen.now
        placement = await self._desk.placement(run, seen.stopped)
        if isinstance(placement, Misplaced):
            return await self._misplaced(run, placement, now)
        await self._desk.tell(run, Reason.JOB_CREATED, f"Creating Job {attempt.job_name}", now, warning=False)
        try:
            await self._cluster.ensure_job(self._job(run, spec_of(run), attempt, placement, now))
        except NameTaken as exc:
            return await self._desk.end_attempt(run, Ended(Reason.NAME_COLLISION, f"{exc}: remove or rename it"), now)
        except Refused as exc:
            return await self._refused(run, exc, now)
        except Unavailable as exc:  # an admission webhook that is away too
            if run.status.reason == Reason.POD_REJECTED:
                raise
            message = f"The cluster could not make the backup's Job, which is tried until the deadline: {exc}"
            return await self._desk.write(run, next_status.observed(run, Reason.POD_REJECTED, message, now), TICK)
        self._desk.patience.renew(run.namespace, run.name)
        return Pass(TICK)

    async def _misplaced(self, run: Run, found: Misplaced, now: datetime) -> Pass:
        """The application's pods may be just restarting."""
        if found.may_pass:
            return await self._held_up(run, found.reason, found.message, now)
        return await self._desk.end_attempt(run, Ended(found.reason, found.message), now)

    async def _refused(self, run: Run, answer: Refused, now: datetime) -> Pass:
        advice = "Correct spec.pod" if isinstance(answer, Invalid) else "Raise the quota or the policy"
        message = f"The cluster refuses the backup's Job: {answer}. {advice}"
        return await self._held_up(run, Reason.POD_REJECTED, message, now)

    async def _held_up(self, run: Run, reason: Reason, message: str, now: datetime) -> Pass:
        """The attempt has no Job yet, for a cause that may pass but is not waited for for ever."""
        if self._desk.patience.is_over(run, reason, now):
            return await self._desk.end_attempt(run, Ended(reason, message), now)
        return await self._desk.write(run, next_status.observed(run, reason, message, now), LOCK_TICK)

    def _job(
        self, run: Run, spec: BackupSpec, attempt: Attempt, placement: Placement, now: datetime
    ) -> dict[str, object]:
        plan = plan_of(run, spec, attempt)
        left = timing.deadline(plan.started, spec.active_deadline_seconds) - now
        return backup_job(plan, spec.database, spec.pod, placement, self._settings, int(left.total_seconds()))

    async def _clear_away_busy(self, seen: Seen, ended: Ended) -> None:
        """A run can wait for days, a Job a minute, for a lock that another namespace holds."""
        job = seen.job(seen.run.status.attempts[-1].job_name)
        if job and ended.reason is Reason.LOCK_BUSY:
            await self._cluster.delete_job(seen.run.namespace, job)

    async def _complete(self, run: Run, ended: Ended, now: datetime) -> Pass:
        if ended.bundle is None:
            raise ValueError("a run is complete only with a bundle")
        if ended.retention:
            await self._after_retention(run, ended.retention, ended.bundle.path, now)
        if ended.audit and ended.audit.reason in UNRECORDABLE:
            await self._desk.tell(run, ended.audit.reason, ended.audit.message, now, warning=True, about="row")
        await self._desk.tell(run, Reason.COMPLETED, ended.message, now, warning=False)
        return await self._desk.finish(run, next_status.completed(run, ended.bundle, ended, now))

    async def _after_retention(self, run: Run, found: RetentionOutcome, path: str, now: datetime) -> None:
        """Before the run is Completed, so that it is made up for should the operator die here. `path`: of its own bundle."""
        if found.problem:
            await self._desk.tell(run, Reason.RETENTION_FAILED, found.problem, now, warning=True)
        if found.pruned:
            await self._desk.tell(run, Reason.PRUNED, f"Removed {found.pruned} older bundles", now, warning=False)
        if found.survivors is None:
            return
        async for other in self._cluster.stored_beside(run):
            is_present = other.status.holds(ConditionType.LOCAL_BUNDLE_PRESENT)
            # The bundle of a run that was restored into another namespace lies in the folder of the old one.
            is_here = all(PurePath(place.path).parent == PurePath(path).parent for place in other.status.destinations)
            if is_present and is_here and not is_among(other.bundle_uid, found.survivors):
                await self._cluster.write_status(other, next_status.pruned(other, run.name, now))
