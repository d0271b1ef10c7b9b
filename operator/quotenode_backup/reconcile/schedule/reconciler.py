"""One pass over a schedule: look at it and its runs, decide, tell, make the run, remember, let old runs go."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.cluster.errors import NameTaken, Refused, Unavailable
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Run
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from quotenode_backup.manifests.scheduled_run import run_spec, scheduled_run
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.reporting.events import Teller
from quotenode_backup.reconcile.reporting.requeue import REFUSED_TICK
from quotenode_backup.reconcile.schedule.decisions import (
    Decision,
    NewRun,
    Notice,
    admitted,
    decide,
    refused,
    without_run,
)
from quotenode_backup.reconcile.schedule.snapshot import Readings, reading

SOON_ENOUGH = timedelta(minutes=1)
"""An API server that is away for less is not told of."""


class ScheduleReconciler:
    def __init__(
        self, cluster: Cluster, tell: Teller, clock: Callable[[], datetime], readings: Readings, admission: Admission
    ) -> None:
        self._cluster = cluster
        self._teller = tell
        self._clock = clock
        self._readings = readings
        self._admission = admission

    async def reconcile(self, run: Run) -> timedelta | None:
        """When to look again; None: when something happens."""
        if run.deleting:
            if run.has_finalizer:  # of a run whose manifest was copied: a schedule has no bundle of its own
                await self._cluster.keep_finalizer(run, False)
            return None
        now = self._clock()
        runs = await self._cluster.runs_of_schedule(run)
        decision = await self._decision(run, runs, now)
        self._readings[run.namespace, run.name] = reading(run, decision.status, runs)
        for notice in decision.notices:
            await self._tell(run, notice, now)
        if decision.new_run and not await self._create(run, decision, decision.new_run, now):
            decision = without_run(run, decision)
        await self._remember(run, decision.status)
        for old in decision.removed:
            await self._cluster.delete_run(old)
        return decision.again

    async def _decision(self, run: Run, runs: Sequence[Run], now: datetime) -> Decision:
        judged = await self._admission.judge(run)
        if isinstance(judged, NotAdmitted):
            return refused(run, runs, judged.reason, judged.message, now, REFUSED_TICK if judged.may_pass else None)
        return admitted(decide(run, runs, now), judged.policy)

    async def _remember(self, run: Run, status: BackupStatus) -> None:
        """The annotation follows the trigger that was acted on. Of a trigger that is taken back it goes first: left behind, it would keep
        the same value from starting a run later."""
        acted_on = run.spec is not None and run.spec.trigger == status.last_trigger
        if acted_on and status.last_trigger is None:
            run = await self._annotate(run, None)
        run = await self._cluster.write_status(run, status)
        if acted_on:
            await self._annotate(run, status.last_trigger)

    async def _annotate(self, run: Run, trigger: str | None) -> Run:
        if run.last_trigger == trigger:
            return run
        return await self._cluster.annotate(run, labels.LAST_TRIGGER, trigger)

    def forget(self, namespace: str, name: str) -> None:
        """There is no schedule of this name."""
        self._readings.pop((namespace, name), None)

    async def _create(self, run: Run, decision: Decision, new: NewRun, now: datetime) -> bool:
        """Whether it is there. If not, that is told, and the slots behind it are not held up."""
        occurrence = int(new.slot.timestamp()) if new.slot else run.generation
        try:
            made = await self._cluster.ensure_run(_manifest(run, new))
        except NameTaken as exc:
            words = f"{exc}: remove or rename it"
            await self._tell(run, Notice(Reason.NAME_COLLISION, words, occurrence, warning=True), now)
            return False
        except Unavailable as exc:
            if new.slot is None or now - new.slot > SOON_ENOUGH:
                words = f"Run {new.name} can't be made yet, and is tried again: {exc}"
                await self._tell(run, Notice(Reason.RUN_REFUSED, words, occurrence, warning=True), now, about="away")
            raise
        except Refused as exc:
            words = f"The cluster refuses run {new.name}: {exc}"
            await self._tell(run, Notice(Reason.RUN_REFUSED, words, occurrence, warning=True), now)
            return False
        await self._hand_on(run, made, decision.status.admission_policy)
        await self._tell(run, Notice(Reason.RUN_CREATED, f"Made run {new.name}", occurrence, warning=False), now)
        return True

    async def _hand_on(self, run: Run, made: Run, policy: str | None) -> None:
        """A run is as well judged as the schedule that it is a copy of, whatever has become of the policy in between. No policy asks us."""
        is_new = made.status.admission_policy is None and not made.status.is_finished
        if policy and is_new and made.spec == run_spec(_spec(run)):
            await self._cluster.write_status(made, made.status.model_copy(update={"admission_policy": policy}))

    async def _tell(self, run: Run, notice: Notice, now: datetime, about: str = "") -> None:
        """`about`: what else than the notice's reason and occurrence makes it another Event."""
        await self._teller(
            run, notice.reason, notice.message, now, warning=notice.warning, about=about, occurrence=notice.occurrence
        )


def _manifest(run: Run, new: NewRun) -> dict[str, object]:
    return scheduled_run(
        namespace=run.namespace,
        name=new.name,
        schedule=run.name,
        schedule_uid=run.uid,
        spec=_spec(run),
        by=new.by,
        slot=new.slot,
    )


def _spec(run: Run) -> BackupSpec:
    if run.spec is None:
        raise ValueError("decisions give a schedule without a valid spec nothing to make")
    return run.spec
