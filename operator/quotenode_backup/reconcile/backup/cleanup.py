"""What is left to do for a run that has ended or is being deleted.

The application is started, the Jobs expire, the lock is given back, the row is written, and the bundle is removed.
"""

import logging
from datetime import timedelta

from quotenode_backup.api.backup import DeletionPolicy
from quotenode_backup.cluster.errors import ApiError, Conflict, Refused, Unavailable
from quotenode_backup.cluster.finished_marks import mark_for
from quotenode_backup.cluster.objects import Backup, BackupRun, Lease, Stopped
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.backup_job import BACKUP
from quotenode_backup.manifests.followup_job import KEPT_SECONDS
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.audit_row import AuditRows
from quotenode_backup.reconcile.backup.bundle_removal import BundleRemoval
from quotenode_backup.reconcile.backup.bundle_search import BundleSearch
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL_EXTERNAL, POLL_REFUSED, SOON
from quotenode_backup.reconcile.target import lock
from quotenode_backup.reconcile.target.wind_down import WindDown
from quotenode_backup.reconcile.target.workloads import known_stopped

logger = logging.getLogger(__name__)


class Cleanup:
    def __init__(self, context: Context, wind_down: WindDown) -> None:
        self._context = context
        self._wind_down = wind_down
        self._rows = AuditRows(context)
        self._removal = BundleRemoval(context)
        self._search = BundleSearch(context)

    async def receive(self, run: Backup) -> timedelta:
        """The first pass over a run that had ended before it was recreated without its status."""
        return await self._search.receive(run)

    async def cleanup(self, run: Backup) -> timedelta | None:
        """How long until the next pass; None: not before a watch event."""
        if not run.deleting and await self.agree_on_finalizer(run):
            return NOW
        if run.deleting and run.has_finalizer and await self._context.cluster.is_terminating(run.namespace):
            await self._context.cluster.backups.set_finalizer(run, present=False)
            return None
        serves = await self._start_again(run)
        if serves and run.status.stopped:
            await self._context.cluster.backups.write_status(run, next_status.serving(run))
            return NOW
        if serves and not run.deleting:
            run = await self._marked(run)
        requeue_after = await self._end_work(run, serves)
        if requeue_after is not None:
            return requeue_after  # a runner that is still alive writes the row itself
        if run.deleting:
            return await self._removal.release_finalizer(run)
        if run.status.is_sought:
            return await self._search.search(run)
        return await self._rows.write_if_owed(run)

    async def _marked(self, run: Backup) -> Backup:
        """Put on the annotation that keeps the run from running again if its status is lost.

        If the run has the annotation already, put the UID of its bundle into the status, which is needed if the
        annotation is lost. An annotation that can't be written holds up nothing.
        """
        if run.mark:
            return await self._context.cluster.backups.write_status(run, next_status.stored_by(run, run.bundle_uid))
        try:
            return await self._context.cluster.backups.mark_finished(run, mark_for(run))
        except (Refused, Unavailable) as exc:
            logger.warning("%s/%s can't be marked as finished: %s", run.namespace, run.name, exc)
            return run

    async def agree_on_finalizer(self, run: Backup) -> bool:
        """Set or remove the finalizer, as `deletionPolicy` can be changed at any time. Whether that was necessary."""
        if not isinstance(run, BackupRun):
            return False
        wanted = run.spec.deletion_policy is DeletionPolicy.DELETE
        if wanted == run.has_finalizer:
            return False
        await self._context.cluster.backups.set_finalizer(run, present=wanted)
        return True

    async def _end_work(self, run: Backup, serves: bool) -> timedelta | None:
        """End the attempts, let their Jobs expire, and give the lock back. None when all of that is done."""
        jobs = await self._context.cluster.jobs.of(run.owner, BACKUP)
        pods = await self._context.cluster.pods.of(run.owner, BACKUP)
        unfinished = [job for job in jobs if not job.is_finished]
        for job in unfinished:
            if not job.deleting:
                await self._context.cluster.jobs.delete(run.namespace, job)
        if unfinished or any(not pod.is_over for pod in pods):
            return await self._break_lock(run)
        for job in jobs:
            if not job.ttl_set and not job.deleting:
                await self._context.cluster.jobs.let_expire(run.namespace, job, KEPT_SECONDS)
        if not serves:
            return POLL_REFUSED
        now = self._context.clock()
        await self._wind_down.release(run, now)
        if run.came_back and not await self._wind_down.release_absent(run.owner.key, now, but_for=run.uid):
            return POLL_EXTERNAL
        return None

    async def _start_again(self, run: Backup) -> bool:
        """Whether everything that the run stopped has been started again, unless another run has taken charge of it."""
        lease = await lock.of_run(self._context.cluster, run)
        is_ours = lease is not None and lease.is_held_by(run.owner)
        stopped = (lease.stopped if lease and is_ours else None) or known_stopped(run)
        if stopped is None:
            return True
        if lease and lease.holder and not is_ours:
            return False  # the holder may be another offline backup; what is still down after it is started then
        return await self._started(run, lease if is_ours else None, stopped)

    async def _started(self, run: Backup, lease: Lease | None, stopped: Stopped) -> bool:
        titles = ", ".join(f"{workload.kind} {workload.name}" for workload in stopped.workloads)
        try:
            await self._context.events.record(of_run(run, Reason.APPLICATION_STARTED, f"Starting {titles} again"))
            if lease and lease.stopped:
                await self._wind_down.start_stopped(lease, self._context.clock())
            else:
                await self._wind_down.start(run.namespace, stopped)
        except Conflict:
            raise
        except ApiError as exc:  # a webhook that does not answer keeps the application down as a refusal does
            message = (
                f"The cluster does not start {titles} again, which is tried each minute: {exc}."
                " Scale it up by hand if it is urgent"
            )
            await self._context.events.record(of_run(run, Reason.WORKLOAD_NOT_SCALED, message, warning=True))
            if not isinstance(exc, Refused):
                raise
            return False
        return True

    async def _break_lock(self, run: Backup) -> timedelta:
        lease = await lock.of_run(self._context.cluster, run)
        if lease and lease.is_held_by(run.owner) and lease.break_for == run.uid:
            await self._wind_down.release(run, self._context.clock())
        return POLL_EXTERNAL if run.status.reason == Reason.NODE_UNREACHABLE else SOON
