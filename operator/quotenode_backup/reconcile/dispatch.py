"""One pass over one QuoteNodeBackup, whatever it is by now: a schedule, a run on its way, one that has ended, or nothing any more."""

from collections.abc import Callable
from datetime import UTC, datetime

from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Run
from quotenode_backup.manifests.pod import RunnerSettings
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.backup.cleanup import Afterwards
from quotenode_backup.reconcile.backup.reconciler import RunReconciler
from quotenode_backup.reconcile.reporting.events import Teller
from quotenode_backup.reconcile.reporting.requeue import LOCK_TICK, NOW
from quotenode_backup.reconcile.reporting.status_writer import Pass
from quotenode_backup.reconcile.schedule.reconciler import ScheduleReconciler
from quotenode_backup.reconcile.schedule.snapshot import Readings
from quotenode_backup.reconcile.target import lock as locks


class Reconciler:
    def __init__(
        self,
        cluster: Cluster,
        settings: RunnerSettings,
        reporter: str,
        clock: Callable[[], datetime] | None = None,
        room: locks.Room = locks.ANY_NUMBER,
        readings: Readings | None = None,
        policy: AdmissionPolicy | None = None,
    ) -> None:
        """`reporter`: who Events are by. `readings`: kept up for the metrics. `policy`: what asks the authors of resources, if anything is to."""
        self._cluster = cluster
        self._clock = clock or (lambda: datetime.now(UTC))
        tell, admission = Teller(cluster, reporter), Admission(policy)
        self._admission = admission
        self._runs = RunReconciler(cluster, settings, tell, self._clock, room, admission)
        self._afterwards = Afterwards(cluster, settings, tell, self._clock)
        self._schedules = ScheduleReconciler(
            cluster, tell, self._clock, {} if readings is None else readings, admission
        )

    async def reconcile(self, namespace: str, name: str) -> Pass:
        """Raises an ApiError when the pass has to be made again."""
        run = await self._cluster.read_run(namespace, name)
        if run is None or not run.is_schedule:
            self._schedules.forget(namespace, name)
        if run is None:
            self._runs.forget(namespace, name)
            is_free = await locks.release_absent(self._cluster, namespace, name, self._clock())
            return Pass(None if is_free else LOCK_TICK)
        if run.is_history and not run.deleting:
            return await self._receive(run)
        if run.status.is_finished or (run.deleting and not run.is_schedule):
            return Pass(await self._afterwards.settle(run))
        if run.is_schedule:
            return Pass(await self._schedules.reconcile(run))
        if await self._afterwards.agree_on_finalizer(run):
            return Pass(NOW)
        return await self._runs.reconcile(run)

    async def _receive(self, run: Run) -> Pass:
        """What the annotation of a run says of its end is believed, and acted on, only if its author was asked."""
        judged = await self._admission.judge(run)
        if isinstance(judged, NotAdmitted):
            return await self._runs.hold(run, judged, self._clock())
        return Pass(await self._afterwards.receive(run))
