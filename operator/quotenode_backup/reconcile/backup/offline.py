"""The application of an offline run is stopped before an attempt, and started again while the run has to wait."""

from datetime import datetime

from quotenode_backup.cluster.objects import BackupRun, Stopped
from quotenode_backup.cluster.workloads import Scale
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.decisions import OFFLINE
from quotenode_backup.reconcile.backup.ending import Ending
from quotenode_backup.reconcile.backup.needs import needs_of, placement_of
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.grace_timers import GraceTimers
from quotenode_backup.reconcile.jobs.placement import Misplaced
from quotenode_backup.reconcile.reporting import conditions
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL_EXTERNAL, POLL_REFUSED, PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter
from quotenode_backup.reconcile.target.scale_down import ScaleDowns
from quotenode_backup.reconcile.target.steps import BeginStop, RememberStopped, ScaleDown, StartApplication, Stopping
from quotenode_backup.reconcile.target.wind_down import WindDown
from quotenode_backup.reconcile.target.workloads import Application, known_stopped


class OfflineSteps:
    def __init__(self, context: Context, timers: GraceTimers, wind_down: WindDown) -> None:
        self._context = context
        self._timers = timers
        self._writer = StatusWriter(context.cluster.backups, context.events)
        self._ending = Ending(context, timers)
        self._scale_downs = ScaleDowns(context.cluster, wind_down, OFFLINE)

    async def carry_out(self, step: Stopping, run: BackupRun, now: datetime) -> PassResult:
        obstacle = await self._scale_downs.obstacle(run, step, needs_of(run, None).claims)
        if obstacle:
            return await self._ending.fail(run, obstacle.reason, obstacle.message, now)
        match step:
            case BeginStop(message):
                await self._context.events.record(of_run(run, Reason.STOPPING_APPLICATION, message))
                return await self._writer.write(run, next_status.stopping(run, message, now))
            case RememberStopped(running):
                return await self._remember(run, running, now)
            case ScaleDown(scale):
                return await self._scale_down(run, scale, now)
            case StartApplication():
                return await self._start(run, now)

    async def _remember(self, run: BackupRun, running: Application, now: datetime) -> PassResult:
        known = known_stopped(run)
        user = known.user if known else await self._user_of(run)
        if isinstance(user, Misplaced):
            return await self._misplaced(run, user, now)
        stopped = Stopped(workloads=running.to_record(known), user=user, serve_by=run.deadline)
        run = await self._context.cluster.backups.write_status(run, next_status.stopped(run, stopped))
        await self._scale_downs.remember(run, stopped, now)
        return PassResult(NOW)

    async def _user_of(self, run: BackupRun) -> int | Misplaced:
        placement = await placement_of(self._context.cluster, run)
        return placement if isinstance(placement, Misplaced) else placement.user

    async def _misplaced(self, run: BackupRun, found: Misplaced, now: datetime) -> PassResult:
        """The application's pods may be just starting again after an earlier offline backup."""
        self._timers.record(run, found.reason, now)
        if found.may_pass and not self._timers.exceeded(run, found.reason, now):
            status = conditions.observed(run, run.status, found.reason, found.message, now)
            return await self._writer.write(run, status, POLL_EXTERNAL)
        return await self._ending.fail(run, found.reason, found.message, now)

    async def _scale_down(self, run: BackupRun, scale: Scale, now: datetime) -> PassResult:
        failed = await self._scale_downs.scale_down(run, scale)
        return await self._ending.fail(run, failed.reason, failed.message, now) if failed else PassResult(NOW)

    async def _start(self, run: BackupRun, now: datetime) -> PassResult:
        not_started = await self._scale_downs.start(run, now)
        if not_started:
            await self._context.events.record(
                of_run(run, Reason.WORKLOAD_NOT_SCALED, not_started.message, warning=True)
            )
            return PassResult(POLL_REFUSED)
        return await self._writer.write(run, next_status.serving(run))
