"""What is left to do for a restore that has ended or is being deleted, while it is known which data is live.

The application is started, the Jobs expire, the lock is given back, and what is kept is removed when its time is over.
"""

import logging
from datetime import timedelta

from quotenode_backup.cluster.errors import ApiError, Conflict, Refused, Unavailable
from quotenode_backup.cluster.finished_marks import mark_for
from quotenode_backup.cluster.objects import Lease, Stopped
from quotenode_backup.cluster.restore_objects import Restore
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.restore_jobs import HEALTH, KEPT_SECONDS, LOAD, SWAP, VERIFY
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL_EXTERNAL, POLL_REFUSED, SOON
from quotenode_backup.reconcile.restore import status as next_status
from quotenode_backup.reconcile.restore.replaced import ReplacedData
from quotenode_backup.reconcile.target import lock
from quotenode_backup.reconcile.target.wind_down import WindDown
from quotenode_backup.reconcile.target.workloads import known_stopped

logger = logging.getLogger(__name__)


class Cleanup:
    def __init__(self, context: Context, wind_down: WindDown) -> None:
        self._context, self._wind_down = context, wind_down
        self._replaced = ReplacedData(context)

    async def cleanup(self, run: Restore) -> timedelta | None:
        """How long until the next pass; None: not before a watch event."""
        restores = self._context.cluster.restores
        if run.deleting and run.has_finalizer and await self._context.cluster.is_terminating(run.namespace):
            await restores.set_finalizer(run, present=False)
            return None
        serves = await self._start_again(run)
        if serves and run.status.stopped:
            await restores.write_status(run, next_status.serving(run))
            return NOW
        if serves and not run.deleting and run.mark is None:
            run = await self._marked(run)
        requeue_after = await self._end_work(run, serves)
        if requeue_after is not None:
            return requeue_after
        return await self._replaced.remove_in_time(run)

    async def _marked(self, run: Restore) -> Restore:
        """An annotation that can't be written holds up nothing."""
        try:
            return await self._context.cluster.restores.mark_finished(run, mark_for(run))
        except (Refused, Unavailable) as exc:
            logger.warning("%s/%s can't be marked as finished: %s", run.namespace, run.name, exc)
            return run

    async def _end_work(self, run: Restore, serves: bool) -> timedelta | None:
        """End the attempts, let their Jobs expire, and give the lock back. None when all of that is done. A pod that swaps is never ended."""
        if await self._is_at_work(run):
            return SOON
        if not serves:
            return POLL_REFUSED
        now = self._context.clock()
        await self._wind_down.release(run, now)
        if run.came_back and not await self._wind_down.release_absent(run.owner.key, now, but_for=run.uid):
            return POLL_EXTERNAL
        return None

    async def _is_at_work(self, run: Restore) -> bool:
        cluster, is_at_work = self._context.cluster, False
        for step in (VERIFY, LOAD, SWAP, HEALTH):
            jobs, pods = await cluster.jobs.of(run.owner, step), await cluster.pods.of(run.owner, step)
            for job in jobs:
                if not job.is_finished and not job.deleting and step != SWAP:
                    await cluster.jobs.delete(run.namespace, job)
                elif job.is_finished and not job.ttl_set and not job.deleting:
                    await cluster.jobs.let_expire(run.namespace, job, KEPT_SECONDS)
            is_at_work |= any(not job.is_finished for job in jobs) or any(not pod.is_over for pod in pods)
        return is_at_work

    async def _start_again(self, run: Restore) -> bool:
        """Whether everything that the restore stopped has been started again, unless another run has taken charge of it."""
        lease = await lock.of_run(self._context.cluster, run)
        is_ours = lease is not None and lease.is_held_by(run.owner)
        stopped = (lease.stopped if lease and is_ours else None) or known_stopped(run)
        if stopped is None:
            return True
        if lease and lease.holder and not is_ours:
            return False
        return await self._started(run, lease if is_ours else None, stopped)

    async def _started(self, run: Restore, lease: Lease | None, stopped: Stopped) -> bool:
        titles = ", ".join(f"{workload.kind} {workload.name}" for workload in stopped.workloads)
        try:
            await self._context.events.record(of_run(run, Reason.APPLICATION_STARTED, f"Starting {titles} again"))
            if lease and lease.stopped:
                await self._wind_down.start_stopped(lease, self._context.clock())
            else:
                await self._wind_down.start(run.namespace, stopped)
        except Conflict:
            raise
        except ApiError as exc:
            message = f"The cluster does not start {titles} again, which is tried each minute: {exc}. Scale it up by hand if it is urgent"
            await self._context.events.record(of_run(run, Reason.WORKLOAD_NOT_SCALED, message, warning=True))
            if not isinstance(exc, Refused):
                raise
            return False
        return True
