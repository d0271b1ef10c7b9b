"""What is left to do for a run that has ended, or is on its way out: nothing stays stopped, locked, unrecorded or undeleted."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from quotenode_backup.api.backup import DeletionPolicy
from quotenode_backup.cluster.errors import ApiError, Conflict, Refused, Unavailable
from quotenode_backup.cluster.finished_marks import mark_for
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Run
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.followup_job import KEPT_SECONDS
from quotenode_backup.manifests.pod import RunnerSettings
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.audit_row import AuditRows
from quotenode_backup.reconcile.backup.bundle_removal import BundleRemoval
from quotenode_backup.reconcile.backup.bundle_search import BundleSearch
from quotenode_backup.reconcile.reporting.events import Teller
from quotenode_backup.reconcile.reporting.requeue import LOCK_TICK, NOW, REFUSED_TICK, SOON
from quotenode_backup.reconcile.target import lock as locks
from quotenode_backup.reconcile.target import workloads as application
from quotenode_backup.reconcile.target.workloads import known_stopped

logger = logging.getLogger(__name__)


class Afterwards:
    def __init__(self, cluster: Cluster, settings: RunnerSettings, tell: Teller, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._tell = tell
        self._clock = clock
        self._rows = AuditRows(cluster, settings, tell, clock)
        self._removal = BundleRemoval(cluster, settings, tell, clock)
        self._search = BundleSearch(cluster, settings, tell, clock)

    async def receive(self, run: Run) -> timedelta:
        """A run that came back after it had ended."""
        return await self._search.receive(run)

    async def settle(self, run: Run) -> timedelta | None:
        """When to look again; None: when something happens."""
        if not run.deleting and await self.agree_on_finalizer(run):
            return NOW
        if run.deleting and run.has_finalizer and await self._cluster.is_terminating(run.namespace):
            await self._cluster.keep_finalizer(run, False)
            return None
        serves = await self._start_again(run)
        if serves and run.status.stopped:
            await self._cluster.write_status(run, next_status.serving(run))
            return NOW
        if serves and not run.deleting:
            run = await self._marked(run)
        wound_down = await self._wind_down(run, serves)
        if wound_down is not None:
            return wound_down  # a runner that is still alive has the last word on the row
        if run.deleting:
            return await self._removal.let_go(run)
        if run.status.is_sought:
            return await self._search.look(run)
        return await self._rows.write_if_owed(run)

    async def _marked(self, run: Run) -> Run:
        """With the annotation that keeps it from running again should its status get lost, and with the UID of its bundle in the status
        should the annotation get lost. An annotation that can't be written holds up nothing."""
        if run.mark:
            return await self._cluster.write_status(run, next_status.stored_by(run, run.bundle_uid))
        try:
            return await self._cluster.mark_finished(run, mark_for(run))
        except (Refused, Unavailable) as exc:
            logger.warning("%s/%s can't be marked as finished: %s", run.namespace, run.name, exc)
            return run

    async def agree_on_finalizer(self, run: Run) -> bool:
        """`deletionPolicy` can be changed at any time. Whether something had to be."""
        if run.spec is None:
            return False
        wanted = run.spec.deletion_policy is DeletionPolicy.DELETE
        if wanted == run.has_finalizer:
            return False
        await self._cluster.keep_finalizer(run, wanted)
        return True

    async def _wind_down(self, run: Run, serves: bool) -> timedelta | None:
        """No work is alive, Jobs expire, the lock is free."""
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
        if run.came_back and not await locks.release_absent(
            self._cluster, run.namespace, run.name, self._clock(), but_for=run.uid
        ):
            return LOCK_TICK
        return None

    async def _start_again(self, run: Run) -> bool:
        """Whether the application serves, as far as it is ours to start it."""
        lease = await locks.seen_lease(self._cluster, run)
        is_ours = lease is not None and lease.holder_uid == run.uid
        stopped = (lease.stopped if lease and is_ours else None) or known_stopped(run)
        if stopped is None:
            return True
        if lease and lease.holder_uid and not is_ours:
            return False  # it may be another run's offline backup; what is still down then is started after it
        titles = ", ".join(f"{workload.kind} {workload.name}" for workload in stopped.workloads)
        now = self._clock()
        try:
            await self._tell(run, Reason.APPLICATION_STARTED, f"Starting {titles} again", now, warning=False)
            if lease and is_ours and lease.stopped:
                await locks.start_stopped(self._cluster, run.namespace, lease, now)
            else:
                await application.start(self._cluster, run.namespace, stopped)
        except Conflict:
            raise
        except ApiError as exc:  # a webhook that is away is no refusal, and as long a downtime
            message = f"The cluster does not start {titles} again, which is tried each minute: {exc}. Scale by hand if it is urgent"
            await self._tell(run, Reason.WORKLOAD_NOT_SCALED, message, now, warning=True)
            if not isinstance(exc, Refused):
                raise
            return False
        return True

    async def _break_lock(self, run: Run) -> timedelta:
        lease = await locks.seen_lease(self._cluster, run)
        if lease and lease.break_for == lease.holder_uid == run.uid:
            await locks.release(self._cluster, run, self._clock())
        return LOCK_TICK if run.status.reason == Reason.NODE_UNREACHABLE else SOON
