"""The application is stopped for the swap, and started again on whichever data is live then."""

from datetime import datetime, timedelta

from quotenode_backup.api.run_status import StoppedWorkload
from quotenode_backup.cluster.objects import Stopped
from quotenode_backup.cluster.restore_objects import RestoreRun
from quotenode_backup.cluster.workloads import Scale
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.restore_jobs import SWAP
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.placement import Misplaced
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL_REFUSED, PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter
from quotenode_backup.reconcile.restore import status as next_status
from quotenode_backup.reconcile.restore.decisions import RESTORE
from quotenode_backup.reconcile.restore.ending import Ending
from quotenode_backup.reconcile.restore.needs import placement_of
from quotenode_backup.reconcile.restore.source import Resolved
from quotenode_backup.reconcile.target.scale_down import ScaleDowns
from quotenode_backup.reconcile.target.steps import BeginStop, RememberStopped, ScaleDown, StartApplication, Stopping
from quotenode_backup.reconcile.target.wind_down import WindDown
from quotenode_backup.reconcile.target.workloads import Application, known_stopped

DOWN_AT_MOST = timedelta(minutes=15)
"""An alert says when an application is down for longer. No clock starts it."""


class ApplicationSteps:
    def __init__(self, context: Context, ending: Ending, wind_down: WindDown) -> None:
        self._context, self._ending, self._wind_down = context, ending, wind_down
        self._writer = StatusWriter(context.cluster.restores, context.events)
        self._scale_downs = ScaleDowns(context.cluster, wind_down, RESTORE)

    async def carry_out(self, step: Stopping, run: RestoreRun, found: Resolved, now: datetime) -> PassResult:
        obstacle = await self._scale_downs.obstacle(run, step, {one.claim_name for one in found.files})
        if obstacle:
            return await self._ending.fail(run, obstacle.reason, obstacle.message, now)
        match step:
            case BeginStop(message):
                await self._context.events.record(of_run(run, Reason.STOPPING_APPLICATION, message))
                return await self._writer.write(run, next_status.stopping(run, message, now))
            case RememberStopped(running):
                return await self._remember(run, found, running, now)
            case ScaleDown(scale):
                return await self._scale_down(run, scale, now)
            case StartApplication():
                return await self.start(run, now)

    async def _remember(self, run: RestoreRun, found: Resolved, running: Application, now: datetime) -> PassResult:
        placement = await placement_of(self._context.cluster, run, found, SWAP)
        if isinstance(placement, Misplaced):
            return await self._ending.fail(run, placement.reason, placement.message, now)
        recorded = tuple(_with_replicas(run, one) for one in running.to_record(known_stopped(run)))
        stopped = Stopped(workloads=recorded, user=placement.user, serve_by=now + DOWN_AT_MOST)
        run = await self._context.cluster.restores.write_status(run, next_status.stopped(run, stopped))
        await self._scale_downs.remember(run, stopped, now)
        return PassResult(NOW)

    async def _scale_down(self, run: RestoreRun, scale: Scale, now: datetime) -> PassResult:
        failed = await self._scale_downs.scale_down(run, scale)
        return await self._ending.fail(run, failed.reason, failed.message, now) if failed else PassResult(NOW)

    async def start(self, run: RestoreRun, now: datetime) -> PassResult:
        """Only where it is known which data is live."""
        not_started = await self._scale_downs.start(run, now)
        if not_started:
            message = not_started.message
            await self._context.events.record(of_run(run, Reason.WORKLOAD_NOT_SCALED, message, warning=True))
            return PassResult(POLL_REFUSED)
        if known := known_stopped(run):
            await self._wind_down.start(run.namespace, known)  # should the Lease have been lost with its record
        await self._context.events.record(of_run(run, Reason.APPLICATION_STARTED, "The application is started again"))
        return await self._writer.write(run, next_status.serving(run))


def _with_replicas(run: RestoreRun, one: StoppedWorkload) -> StoppedWorkload:
    """What was down already, as after a disaster, is started too: with what the restore says, or with one replica."""
    if one.replicas:
        return one
    given = run.spec.application.workloads if run.spec.application else None
    chosen = next((w.replicas for w in given or () if (w.kind, w.name) == (one.kind, one.name)), None)
    return one.model_copy(update={"replicas": 1 if chosen is None else chosen})
