"""One pass over a run: look at everything live, decide the one next step, do it.

Each step is safe to repeat, so a pass that dies anywhere is simply made again. Order matters in one way: an Event is told before the
Job or the status that would keep it from being told, and a Job gets its time to live only after its end is in the status.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.status import Attempt, BackupStatus, ConditionType
from quotenode_backup.cluster.errors import Invalid, Refused, Unavailable
from quotenode_backup.cluster.gateway import Cluster, NameTaken
from quotenode_backup.cluster.views import Claim, Job, Pod, Run, Scale, Stopped
from quotenode_backup.contract import RetentionOutcome
from quotenode_backup.domain import timing
from quotenode_backup.domain.errors import Reason
from quotenode_backup.domain.naming import digest
from quotenode_backup.domain.retention import is_among
from quotenode_backup.manifests.job import backup_job
from quotenode_backup.manifests.pod import Placement, RunnerSettings
from quotenode_backup.reconcile import application, locks
from quotenode_backup.reconcile import status as next_status
from quotenode_backup.reconcile.decisions import Seen, next_step
from quotenode_backup.reconcile.outcome import Ended
from quotenode_backup.reconcile.pace import LOCK_TICK, NOW, REFUSED_TICK, SOON, TICK
from quotenode_backup.reconcile.placement import Misplaced, place
from quotenode_backup.reconcile.plan import plan_of
from quotenode_backup.reconcile.status import UNRECORDABLE
from quotenode_backup.reconcile.steps import (
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
    Stopping,
    TakeLock,
    Wait,
)
from quotenode_backup.reconcile.telling import Teller

SPREAD_SECONDS = 24


def spread(uid: str) -> timedelta:
    """Those that wait for room do not all ask at once, and each asks at its own moment, the same after a restart."""
    return timedelta(seconds=int(digest(uid), 16) % SPREAD_SECONDS)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass came to: when to look again (None: when something happens), and how the run ended if it just did."""

    again: timedelta | None
    finished: BackupStatus | None = None


class RunReconciler:
    """For runs that have not ended and are not being deleted."""

    def __init__(
        self,
        cluster: Cluster,
        settings: RunnerSettings,
        tell: Teller,
        clock: Callable[[], datetime],
        room: locks.Room,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._tell = tell
        self._clock = clock
        self._room = room
        self._taking = asyncio.Lock()
        self._full: tuple[datetime, locks.Full] | None = None

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

    async def _carry_out(self, step: Step, seen: Seen) -> Pass:
        run, now = seen.run, seen.now
        match step:
            case Accept():
                return await self._accept(run, now)
            case TakeLock():
                return await self._take_lock(run, now)
            case BeginStop() | RememberStopped() | ScaleDown() | StartApplication():
                return await self._stop_or_start(step, run, now)
            case BeginAttempt(number):
                return await self._begin_attempt(seen, number)
            case CreateJob(attempt):
                return await self._create_job(seen, attempt)
            case Observe(reason, message, again):
                return await self._write(run, next_status.observed(run, reason, message, now), again)
            case EndAttempt(ended):
                result = await self._end_attempt(run, ended, now)
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
                return await self._fail(run, reason, message, now)

    async def _stop_or_start(self, step: Stopping, run: Run, now: datetime) -> Pass:
        """The application of an offline run, one write at a time."""
        match step:
            case BeginStop(message):
                await self._tell(run, Reason.STOPPING_APPLICATION, message, now, warning=False)
                return await self._write(run, next_status.stopping(run, message, now))
            case RememberStopped(running):
                return await self._remember_stopped(run, running, now)
            case ScaleDown(scale):
                return await self._scale_down(run, scale, now)
            case StartApplication():
                return await self._start_application(run, now)

    async def _scale_down(self, run: Run, scale: Scale, now: datetime) -> Pass:
        try:
            await self._cluster.set_replicas(run.namespace, scale, 0)
        except Refused as exc:
            message = f"The cluster refuses to stop {scale.title}: {exc}. Allow it, or use mode Online"
            return await self._fail(run, Reason.WORKLOAD_NOT_SCALED, message, now)
        # While this pass was held up, the run may have been deleted and all of it started again: then nobody else would start this.
        lease = await locks.seen_lease(self._cluster, run)
        if lease is None or lease.holder_uid != run.uid or lease.stopped is None:
            await application.undo(self._cluster, run.namespace, scale)
        return Pass(NOW)

    async def _accept(self, run: Run, now: datetime) -> Pass:
        before = await self._before_acceptance(run, now)
        if before:
            return await self._wait_for(run, Reason.WAITING_FOR_TARGET, before, now, LOCK_TICK)
        placement = await self._placement(run)
        if isinstance(placement, Placement):
            return await self._write(run, next_status.accepted(run, now))
        if placement.reason is Reason.RUN_AS_USER_NEEDED:
            stopper = await locks.stopper(self._cluster, run)
            if stopper:
                message = (
                    f"Waiting for {stopper}, which has the application stopped: its pods show who can read the files"
                )
                return await self._wait_for(run, Reason.WAITING_FOR_TARGET, message, now, LOCK_TICK)
        if placement.may_pass and now - next_status.unaccepted_since(run, now) < timing.STUCK_AFTER:
            return await self._write(
                run, next_status.unaccepted(run, placement.reason, placement.message, now), LOCK_TICK
            )
        return await self._fail(run, placement.reason, placement.message, now)

    async def _before_acceptance(self, run: Run, now: datetime) -> str:
        """What has to be over first; empty when nothing has."""
        try:
            if await locks.release_absent(self._cluster, run.namespace, run.name, now, but_for=run.uid):
                return ""
        except Refused as exc:
            return locks.cannot_start(f"an earlier backup {run.name}", exc)
        return "Waiting for the pod of an earlier backup of this name to end"

    async def _take_lock(self, run: Run, now: datetime) -> Pass:
        obstacle: locks.Busy | locks.Full | None = await self._no_room(now)
        if obstacle is None:
            async with self._taking:  # else two could take the last room at the same time
                obstacle = await locks.take(self._cluster, run, self._room, now)
        match obstacle:
            case None:
                return Pass(NOW)
            case locks.Busy(sentence):
                return await self._wait_for(run, Reason.WAITING_FOR_TARGET, sentence, now, LOCK_TICK)
            case locks.Full() as full:
                pause = LOCK_TICK + spread(run.uid)
                return await self._wait_for(run, Reason.WAITING_FOR_CAPACITY, full.sentence, now, pause)

    async def _no_room(self, now: datetime) -> locks.Full | None:
        """Good for as long as nobody asks again anyway: hundreds may wait, and each would list every Lease."""
        if self._full and timedelta(0) <= now - self._full[0] < LOCK_TICK:
            return self._full[1]
        full = await locks.no_room(self._cluster, self._room)
        self._full = (now, full) if full else None
        return full

    async def _wait_for(self, run: Run, reason: Reason, message: str, now: datetime, again: timedelta) -> Pass:
        if run.status.reason != reason:
            await self._tell(run, reason, message, now, warning=False)
        return await self._write(run, next_status.waiting(run, reason, message, now), again)

    async def _remember_stopped(self, run: Run, running: application.Application, now: datetime) -> Pass:
        placement = await self._placement(run)
        if isinstance(placement, Misplaced):
            may_wait = placement.may_pass and now - (run.status.start_time or now) < timing.STUCK_AFTER
            if may_wait:  # its pods may be just starting, after the backup before
                status = next_status.observed(run, placement.reason, placement.message, now)
                return await self._write(run, status, LOCK_TICK)
            return await self._fail(run, placement.reason, placement.message, now)
        serve_by = timing.deadline(run.status.start_time or now, _spec(run).active_deadline_seconds)
        workloads = application.workloads_of(running)
        stopped = Stopped(workloads=workloads, user=placement.user, serve_by=serve_by)
        run = await self._cluster.write_status(run, next_status.stopped(run, stopped))
        await locks.remember_stopped(self._cluster, run, stopped, now)
        return Pass(NOW)

    async def _start_application(self, run: Run, now: datetime) -> Pass:
        lease = await locks.seen_lease(self._cluster, run)
        try:
            if lease and lease.holder_uid == run.uid:
                await locks.start_stopped(self._cluster, run.namespace, lease, now)
        except Refused as exc:
            await self._tell(run, Reason.WORKLOAD_NOT_SCALED, locks.cannot_start("this backup", exc), now, warning=True)
            return Pass(REFUSED_TICK)
        await self._cluster.write_status(run, next_status.serving(run))
        return Pass(NOW)

    async def _begin_attempt(self, seen: Seen, number: int) -> Pass:
        """With the user whose files these will be: should the run be deleted, only that one can remove them."""
        placement = await self._placement(seen.run, seen.stopped)
        user = placement.user if isinstance(placement, Placement) else None
        return await self._write(seen.run, next_status.attempt_begun(seen.run, number, user, seen.now))

    async def _create_job(self, seen: Seen, attempt: Attempt) -> Pass:
        run, now = seen.run, seen.now
        placement = await self._placement(run, seen.stopped)
        if isinstance(placement, Misplaced):
            return await self._misplaced(run, attempt, placement, now)
        await self._tell(run, Reason.JOB_CREATED, f"Creating Job {attempt.job_name}", now, warning=False)
        try:
            await self._cluster.ensure_job(self._job(run, _spec(run), attempt, placement, now))
        except NameTaken as exc:
            return await self._end_attempt(run, Ended(Reason.NAME_COLLISION, f"{exc}: remove or rename it"), now)
        except Refused as exc:
            return await self._refused(run, attempt, exc, now)
        except Unavailable as exc:  # an admission webhook that is away too
            message = f"The cluster could not make the backup's Job, which is tried until the deadline: {exc}"
            return await self._write(run, next_status.observed(run, Reason.POD_REJECTED, message, now), TICK)
        return Pass(TICK)

    async def _misplaced(self, run: Run, attempt: Attempt, found: Misplaced, now: datetime) -> Pass:
        """The application's pods may be just restarting."""
        if found.may_pass:
            return await self._held_up(run, attempt, found.reason, found.message, now)
        return await self._end_attempt(run, Ended(found.reason, found.message), now)

    async def _refused(self, run: Run, attempt: Attempt, answer: Refused, now: datetime) -> Pass:
        advice = "Correct spec.pod" if isinstance(answer, Invalid) else "Raise the quota or the policy"
        message = f"The cluster refuses the backup's Job: {answer}. {advice}"
        return await self._held_up(run, attempt, Reason.POD_REJECTED, message, now)

    async def _held_up(self, run: Run, attempt: Attempt, reason: Reason, message: str, now: datetime) -> Pass:
        """The attempt has no Job yet, for a cause that may pass but is not waited for for ever, nor given up at first sight."""
        if now - attempt.start_time >= timing.STUCK_AFTER and run.status.reason == reason:
            return await self._end_attempt(run, Ended(reason, message), now)
        return await self._write(run, next_status.observed(run, reason, message, now), LOCK_TICK)

    def _job(
        self, run: Run, spec: BackupSpec, attempt: Attempt, placement: Placement, now: datetime
    ) -> dict[str, object]:
        plan = plan_of(run, spec, attempt)
        left = timing.deadline(plan.started, spec.active_deadline_seconds) - now
        return backup_job(plan, spec.database, spec.pod, placement, self._settings, int(left.total_seconds()))

    async def _placement(self, run: Run, stopped: Stopped | None = None) -> Placement | Misplaced:
        spec = application.with_known_user(_spec(run), stopped)
        names = {files.claim_name for files in spec.files} | {spec.storage.local.claim_name}
        claims: dict[str, Claim | None] = {
            name: await self._cluster.read_claim(run.namespace, name) for name in sorted(names)
        }
        return place(spec, claims, await self._cluster.mounters_of(run.namespace, names))

    async def _end_attempt(self, run: Run, ended: Ended, now: datetime) -> Pass:
        await self._tell(run, ended.reason, ended.message, now, warning=ended.reason is not Reason.LOCK_BUSY)
        return await self._write(run, next_status.attempt_ended(run, ended, now))

    async def _clear_away_busy(self, seen: Seen, ended: Ended) -> None:
        """A run can wait for days, a Job a minute, for a lock that another namespace holds."""
        job = seen.job(seen.run.status.attempts[-1].job_name)
        if job and ended.reason is Reason.LOCK_BUSY:
            await self._cluster.delete_job(seen.run.namespace, job)

    async def _complete(self, run: Run, ended: Ended, now: datetime) -> Pass:
        if ended.bundle is None:
            raise ValueError("a run is complete only with a bundle")
        if ended.retention:
            await self._after_retention(run, ended.retention, now)
        if ended.audit and ended.audit.reason in UNRECORDABLE:
            await self._tell(run, ended.audit.reason, ended.audit.message, now, warning=True, about="row")
        await self._tell(run, Reason.COMPLETED, ended.message, now, warning=False)
        return await self._finish(run, next_status.completed(run, ended.bundle, ended, now))

    async def _after_retention(self, run: Run, found: RetentionOutcome, now: datetime) -> None:
        """Before the run is Completed, so that it is made up for should the operator die here."""
        if found.problem:
            await self._tell(run, Reason.RETENTION_FAILED, found.problem, now, warning=True)
        if found.pruned:
            await self._tell(run, Reason.PRUNED, f"Removed {found.pruned} older bundles", now, warning=False)
        if found.survivors is None:
            return
        async for other in self._cluster.stored_beside(run):
            is_present = other.status.holds(ConditionType.LOCAL_BUNDLE_PRESENT)
            if is_present and not is_among(other.uid, found.survivors):
                await self._cluster.write_status(other, next_status.pruned(other, run.name, now))

    async def _fail(self, run: Run, reason: Reason, message: str, now: datetime) -> Pass:
        await self._tell(run, reason, message, now, warning=True)
        return await self._finish(run, next_status.failed(run, reason, message, now))

    async def _finish(self, run: Run, status: BackupStatus) -> Pass:
        await self._cluster.write_status(run, status)
        return Pass(NOW, finished=status)

    async def _write(self, run: Run, status: BackupStatus, again: timedelta = NOW) -> Pass:
        await self._cluster.write_status(run, status)
        return Pass(again)


def _spec(run: Run) -> BackupSpec:
    if run.spec is None:
        raise ValueError("decisions give a run without a valid spec nothing to do")
    return run.spec
