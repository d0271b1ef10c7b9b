"""What is left to do for a run that has ended, or is on its way out: nothing stays stopped, locked, unrecorded or undeleted."""

from collections.abc import Callable
from datetime import datetime, timedelta

from quotenode_backup.api.backup import BackupSpec, DeletionPolicy
from quotenode_backup.api.status import ConditionType, Destination
from quotenode_backup.cluster.errors import NamespaceTerminating, Refused
from quotenode_backup.cluster.gateway import Cluster, NameTaken
from quotenode_backup.cluster.views import Run
from quotenode_backup.domain import timing
from quotenode_backup.domain.errors import Reason
from quotenode_backup.manifests.pod import Placement, RunnerSettings
from quotenode_backup.manifests.task import KEPT_SECONDS, RECORD, REMOVE, record_job, removal_job
from quotenode_backup.reconcile import locks
from quotenode_backup.reconcile import status as next_status
from quotenode_backup.reconcile.pace import LOCK_TICK, REFUSED_TICK, SOON
from quotenode_backup.reconcile.placement import IMAGE_USER, beside
from quotenode_backup.reconcile.plan import bundle_home, record_plan, removal_plan
from quotenode_backup.reconcile.status import UNRECORDABLE, Finding
from quotenode_backup.reconcile.tasks import Begin, Done, Failed, Pause, next_task
from quotenode_backup.reconcile.telling import Teller

TASK_SECONDS = int((timing.TASK_TIME + timing.TASK_BACKSTOP).total_seconds())
RECORDS_TRIED = 12
"""Jobs for one row, over about seven hours."""


class Afterwards:
    def __init__(self, cluster: Cluster, settings: RunnerSettings, tell: Teller, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._tell = tell
        self._clock = clock

    async def settle(self, run: Run) -> timedelta | None:
        """When to look again; None: when something happens."""
        if not run.deleting:
            await self.agree_on_finalizer(run)
        wound_down = await self._wind_down(run)
        if wound_down is not None:
            return wound_down  # a runner that is still alive has the last word on the row
        return await (self._let_go(run) if run.deleting else self._record(run))

    async def agree_on_finalizer(self, run: Run) -> bool:
        """`deletionPolicy` can be changed at any time. Whether something had to be."""
        wanted = run.spec is not None and run.spec.deletion_policy is DeletionPolicy.DELETE
        if wanted == run.has_finalizer:
            return False
        await self._cluster.keep_finalizer(run, wanted)
        return True

    async def _wind_down(self, run: Run) -> timedelta | None:
        """The application serves, no work is alive, Jobs expire, the lock is free."""
        serves = await self._start_again(run)
        jobs = await self._cluster.jobs_of(run.namespace, run.uid)
        pods = await self._cluster.pods_of(run.namespace, run.uid)
        unfinished = [job for job in jobs if not job.is_finished]
        for job in unfinished:
            if not job.deleting:
                await self._cluster.delete_job(run.namespace, job)
        if unfinished or any(not pod.is_over for pod in pods):
            return await self._break_lock(run)
        for job in jobs:
            if not job.ttl_set and not job.deleting:
                await self._cluster.let_job_expire(run.namespace, job, KEPT_SECONDS)
        if not serves:
            return REFUSED_TICK
        await locks.release(self._cluster, run, self._clock())
        return None

    async def _start_again(self, run: Run) -> bool:
        """Whether the application serves, as far as it is ours to start it."""
        lease = await locks.seen_lease(self._cluster, run)
        if lease is None or lease.holder_uid != run.uid or lease.stopped is None:
            return True
        titles = ", ".join(f"{workload.kind} {workload.name}" for workload in lease.stopped.workloads)
        now = self._clock()
        try:
            await self._tell(run, Reason.APPLICATION_STARTED, f"Starting {titles} again", now, warning=False)
            await locks.start_stopped(self._cluster, run.namespace, lease, now)
        except Refused as exc:
            message = f"The cluster refuses to start {titles} again, which is tried each minute: {exc}. Scale by hand if it is urgent"
            await self._tell(run, Reason.WORKLOAD_NOT_SCALED, message, now, warning=True)
            return False
        return True

    async def _break_lock(self, run: Run) -> timedelta:
        lease = await locks.seen_lease(self._cluster, run)
        if lease and lease.break_for == lease.holder_uid == run.uid:
            await locks.release(self._cluster, run, self._clock())
        return LOCK_TICK if run.status.reason == Reason.NODE_UNREACHABLE else SOON

    # The row in backup_logs.

    async def _record(self, run: Run) -> timedelta | None:
        if not run.status.owes_row or run.spec is None:
            return None
        jobs = await self._cluster.tasks_of(run.namespace, RECORD, run.uid)
        pods = await self._cluster.task_pods_of(run.namespace, RECORD, run.uid)
        match next_task(run.uid, jobs, pods, self._clock()):
            case Begin(number):
                return await self._begin_record(run, run.spec, number)
            case Pause(again):
                return again
            case Done():
                found = Finding(True, Reason.AUDIT_LOGGED, "The run is a row of backup_logs")
                await self._cluster.write_status(run, next_status.recorded(run, found, self._clock()))
            case Failed(number, reason, message, again):
                return await self._unrecorded(run, number, reason, message, again)
        return None

    async def _begin_record(self, run: Run, spec: BackupSpec, number: int) -> timedelta:
        plan = record_plan(run, spec, number, self._clock())
        placement = Placement(user=spec.pod.run_as_user or IMAGE_USER, node=None)
        job = record_job(plan, spec.database, spec.pod, placement, self._settings, TASK_SECONDS)
        try:
            await self._cluster.ensure_task(job)
        except (Refused, NameTaken):
            return REFUSED_TICK
        return LOCK_TICK

    async def _unrecorded(
        self, run: Run, number: int, reason: Reason, message: str, again: timedelta
    ) -> timedelta | None:
        # The next backup takes the row of a run that it can't see the end of for a dead one's: a good one is never given up.
        is_worth_it = number < RECORDS_TRIED or run.status.holds(ConditionType.COMPLETE)
        if reason not in UNRECORDABLE and is_worth_it:
            found = Finding(False, Reason.AUDIT_PENDING, f"Tried {number} times, and again later: {message}")
            await self._cluster.write_status(run, next_status.recorded(run, found, self._clock()))
            return again
        final = reason if reason in UNRECORDABLE else Reason.AUDIT_FAILED
        await self._tell(run, final, message, self._clock(), warning=True, about="row")
        await self._cluster.write_status(run, next_status.recorded(run, Finding(False, final, message), self._clock()))
        return None

    # The bundle of a run that is deleted with deletionPolicy Delete.

    async def _let_go(self, run: Run) -> timedelta | None:
        """The finalizer goes when the bundle is gone, or nobody can or wants to remove it."""
        if not run.has_finalizer:
            return None
        bundle = next(iter(run.status.destinations), None) or _unseen_bundle(run)
        is_wanted = run.spec is not None and run.spec.deletion_policy is DeletionPolicy.DELETE
        if run.spec is None or not is_wanted or bundle is None:
            await self._cluster.keep_finalizer(run, False)
            return None
        return await self._remove(run, run.spec, bundle)

    async def _remove(self, run: Run, spec: BackupSpec, bundle: Destination) -> timedelta | None:
        jobs = await self._cluster.tasks_of(run.namespace, REMOVE, run.uid)
        pods = await self._cluster.task_pods_of(run.namespace, REMOVE, run.uid)
        match next_task(run.uid, jobs, pods, self._clock()):
            case Begin(number):
                return await self._begin_removal(run, spec, bundle, number)
            case Pause(again):
                return again
            case Done():
                await self._cluster.keep_finalizer(run, False)
            case Failed(_, Reason.RETENTION_FAILED, message, _):
                await self._tell(run, Reason.RETENTION_FAILED, message, self._clock(), warning=True, about="removal")
                await self._cluster.keep_finalizer(run, False)
            case Failed(_, reason, message, again):
                await self._tell(run, reason, message, self._clock(), warning=True, about="removal")
                return await self._say_removing(
                    run, f"The bundle can't be removed, and is tried again: {message}", again
                )
        return None

    async def _begin_removal(self, run: Run, spec: BackupSpec, bundle: Destination, number: int) -> timedelta | None:
        claim = await self._cluster.read_claim(run.namespace, bundle.claim_name)
        if claim is None:
            await self._cluster.keep_finalizer(run, False)
            return None
        mounters = (await self._cluster.mounters_of(run.namespace, {claim.name}))[claim.name]
        placement = beside(bundle.user_id or spec.pod.run_as_user or IMAGE_USER, claim, mounters)
        plan = removal_plan(run, bundle, number, self._clock())
        try:
            await self._cluster.ensure_task(removal_job(plan, spec.pod, placement, self._settings, TASK_SECONDS))
        except NamespaceTerminating:
            await self._cluster.keep_finalizer(run, False)
            return None
        except (Refused, NameTaken) as exc:
            return await self._say_removing(
                run, f"The cluster refuses the Job that removes the bundle: {exc}", REFUSED_TICK
            )
        return await self._say_removing(run, "The local bundle is being removed", LOCK_TICK)

    async def _say_removing(self, run: Run, message: str, again: timedelta) -> timedelta:
        await self._cluster.write_status(run, next_status.removing(run, message, self._clock()))
        return again


def _unseen_bundle(run: Run) -> Destination | None:
    """A run that was begun and did not complete may have stored one all the same: where that would be, as a folder to look through."""
    if run.spec is None or not run.status.attempts:
        return None
    return Destination(type="Local", claim_name=run.spec.storage.local.claim_name, path=bundle_home(run, run.spec))
