"""The application of an offline run is stopped and started again, one write at a time."""

from collections.abc import Sequence
from datetime import datetime

from quotenode_backup.cluster.errors import Refused
from quotenode_backup.cluster.objects import Run, Scale, Stopped
from quotenode_backup.domain import timing
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.placement import Misplaced
from quotenode_backup.reconcile.backup.steps import (
    BeginStop,
    Fail,
    RememberStopped,
    ScaleDown,
    StartApplication,
    Stopping,
)
from quotenode_backup.reconcile.reporting.requeue import LOCK_TICK, NOW, REFUSED_TICK
from quotenode_backup.reconcile.reporting.status_writer import Desk, Pass, spec_of
from quotenode_backup.reconcile.target import lock as locks
from quotenode_backup.reconcile.target import workloads as application
from quotenode_backup.reconcile.target.stopping import loss


class ApplicationSteps:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._cluster = desk.cluster

    async def carry_out(self, step: Stopping, run: Run, now: datetime) -> Pass:
        obstacle = await self._obstacle(run, _to_be_stopped(step))
        if obstacle:
            return await self._desk.fail(run, obstacle.reason, obstacle.message, now)
        match step:
            case BeginStop(message):
                await self._desk.tell(run, Reason.STOPPING_APPLICATION, message, now, warning=False)
                return await self._desk.write(run, next_status.stopping(run, message, now))
            case RememberStopped(running):
                return await self._remember(run, running, now)
            case ScaleDown(scale):
                return await self._scale_down(run, scale, now)
            case StartApplication():
                return await self._start(run, now)

    async def _obstacle(self, run: Run, scales: Sequence[Scale]) -> Fail | None:
        """Looked for anew right before each workload is stopped: a policy can change, and a claim be deleted, at any time."""
        if not scales:
            return None
        try:
            return loss(await application.held_data(self._cluster, run, scales))
        except Refused as exc:
            titles = " and ".join(scale.title for scale in scales)
            message = (
                f"The operator can't see whether stopping {titles} would delete data, so it does not: {exc}."
                " Allow it, or use mode Online"
            )
            return Fail(Reason.WORKLOAD_NOT_SCALED, message)

    async def _remember(self, run: Run, running: application.Application, now: datetime) -> Pass:
        placement = await self._desk.placement(run)
        if isinstance(placement, Misplaced):
            # Its pods may be just starting, after the backup before.
            if placement.may_pass and not self._desk.patience.is_over(run, placement.reason, now):
                status = next_status.observed(run, placement.reason, placement.message, now)
                return await self._desk.write(run, status, LOCK_TICK)
            return await self._desk.fail(run, placement.reason, placement.message, now)
        serve_by = timing.deadline(run.status.start_time or now, spec_of(run).active_deadline_seconds)
        workloads = application.workloads_of(running)
        stopped = Stopped(workloads=workloads, user=placement.user, serve_by=serve_by)
        run = await self._cluster.write_status(run, next_status.stopped(run, stopped))
        await locks.remember_stopped(self._cluster, run, stopped, now)
        return Pass(NOW)

    async def _scale_down(self, run: Run, scale: Scale, now: datetime) -> Pass:
        try:
            await self._cluster.workloads.set_replicas(run.namespace, scale, 0)
        except Refused as exc:
            message = f"The cluster refuses to stop {scale.title}: {exc}. Allow it, or use mode Online"
            return await self._desk.fail(run, Reason.WORKLOAD_NOT_SCALED, message, now)
        # While this pass was held up, the run may have been deleted and all of it started again: then nobody else would start this.
        lease = await locks.seen_lease(self._cluster, run)
        if lease is None or lease.holder_uid != run.uid or lease.stopped is None:
            await application.undo(self._cluster, run.namespace, scale)
        return Pass(NOW)

    async def _start(self, run: Run, now: datetime) -> Pass:
        lease = await locks.seen_lease(self._cluster, run)
        try:
            if lease and lease.holder_uid == run.uid:
                await locks.start_stopped(self._cluster, run.namespace, lease, now)
        except Refused as exc:
            message = (
                f"The application can't be started again while this backup waits: {exc}. Allow it, or scale by hand"
            )
            await self._desk.tell(run, Reason.WORKLOAD_NOT_SCALED, message, now, warning=True)
            return Pass(REFUSED_TICK)
        await self._cluster.write_status(run, next_status.serving(run))
        return Pass(NOW)


def _to_be_stopped(step: Stopping) -> tuple[Scale, ...]:
    match step:
        case BeginStop(application=running) | RememberStopped(application=running):
            return running.up
        case ScaleDown(scale):
            return (scale,)
        case StartApplication():
            return ()
