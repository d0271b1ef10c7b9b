"""One pass over a schedule: read its runs, decide, record Events, create the run, write the status, delete old runs."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.cluster.errors import NameTaken, Refused, Unavailable
from quotenode_backup.cluster.objects import Backup, BackupRun, Schedule
from quotenode_backup.domain.owner import Key
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from quotenode_backup.manifests.event import EventRecord
from quotenode_backup.manifests.scheduled_run import run_spec, scheduled_run
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.reporting.requeue import POLL_REFUSED, PassResult
from quotenode_backup.reconcile.schedule.decisions import (
    AnySchedule,
    Decision,
    NewRun,
    admitted,
    decide,
    refused,
    without_run,
)
from quotenode_backup.reconcile.schedule.snapshot import Snapshots, snapshot

SOON_ENOUGH = timedelta(minutes=1)
"""How late a slot's run may be, because the cluster does not answer, before an Event is recorded."""


class ScheduleReconciler:
    def __init__(self, context: Context, snapshots: Snapshots, admission: Admission) -> None:
        self._context = context
        self._snapshots = snapshots
        self._admission = admission

    async def reconcile(self, schedule: AnySchedule) -> PassResult:
        if schedule.deleting:
            if schedule.has_finalizer:  # it was copied with a run's manifest; a schedule has no bundle of its own
                await self._context.cluster.backups.set_finalizer(schedule, present=False)
            return PassResult(None)
        now = self._context.clock()
        runs = await self._context.cluster.backups.of_schedule(schedule)
        decision = await self._decision(schedule, runs, now)
        self._show(schedule, decision, runs)
        for event in decision.events:
            await self._context.events.record(event)
        if isinstance(schedule, Schedule):
            decision = await self._with_run(schedule, decision, runs, now)
        await self._remember(schedule, decision.status)
        for old in decision.removed:
            await self._context.cluster.backups.delete(old)
        return PassResult(decision.requeue_after)

    async def _decision(self, schedule: AnySchedule, runs: Sequence[Backup], now: datetime) -> Decision:
        judged = await self._admission.judge(schedule)
        if isinstance(judged, NotAdmitted):
            requeue_after = POLL_REFUSED if judged.may_pass else None
            return refused(schedule, runs, judged.reason, judged.message, now, requeue_after)
        return admitted(decide(schedule, runs, now), judged.policy)

    def _show(self, schedule: AnySchedule, decision: Decision, runs: Sequence[Backup]) -> None:
        self._snapshots[schedule.namespace, schedule.name] = snapshot(schedule, decision.status, runs)

    async def _with_run(
        self, schedule: Schedule, decision: Decision, runs: Sequence[Backup], now: datetime
    ) -> Decision:
        """The decision after its run, if there is to be one, was created or could not be."""
        new = decision.new_run
        if new is None:
            return decision
        made = await self._create(schedule, new, decision.status.admission_policy, now)
        if made is None:
            return without_run(schedule, decision)
        self._show(schedule, decision, [*(run for run in runs if run.uid != made.uid), made])
        return decision

    async def _remember(self, schedule: AnySchedule, status: BackupStatus) -> None:
        """Write the status, then the annotation that records the same trigger.

        When a trigger is removed from the spec, its annotation is removed first: if it stayed behind, the same value
        could not start a run later.
        """
        acted_on = isinstance(schedule, Schedule) and schedule.spec.trigger == status.last_trigger
        if acted_on and status.last_trigger is None:
            schedule = await self._annotate(schedule, None)
        schedule = await self._context.cluster.backups.write_status(schedule, status)
        if acted_on:
            await self._annotate(schedule, status.last_trigger)

    async def _annotate(self, schedule: AnySchedule, trigger: str | None) -> AnySchedule:
        if not isinstance(schedule, Schedule) or schedule.last_trigger == trigger:
            return schedule
        return await self._context.cluster.backups.annotate(schedule, labels.LAST_TRIGGER, trigger)

    def forget(self, key: Key) -> None:
        """No schedule has this name."""
        self._snapshots.pop((key.namespace, key.name), None)

    async def _create(self, schedule: Schedule, new: NewRun, policy: str | None, now: datetime) -> Backup | None:
        """The run, if it exists now. If it does not, an Event says why, and later slots are not held up."""
        try:
            made = await self._context.cluster.backups.ensure(_manifest(schedule, new))
        except NameTaken as exc:
            await self._warn(schedule, new, Reason.NAME_COLLISION, f"{exc}: remove or rename it")
            return None
        except Unavailable as exc:
            if new.slot is None or now - new.slot > SOON_ENOUGH:
                message = f"Run {new.name} can't be created yet, and is tried again: {exc}"
                await self._warn(schedule, new, Reason.RUN_REFUSED, message, about="away")
            raise
        except Refused as exc:
            await self._warn(schedule, new, Reason.RUN_REFUSED, f"The cluster refuses run {new.name}: {exc}")
            return None
        await self._hand_on(schedule, made, policy)
        occurrence, message = _occurrence(schedule, new), f"Made run {new.name}"
        await self._context.events.record(
            EventRecord(schedule.owner, Reason.RUN_CREATED, message, occurrence, warning=False)
        )
        return made

    async def _hand_on(self, schedule: Schedule, made: Backup, policy: str | None) -> None:
        """Mark the run as checked by the policy that checked its schedule, of which the run is a copy.

        The admission policy exempts the operator, so it does not check the run itself.
        """
        is_new = made.status.admission_policy is None and not made.status.is_finished
        if policy and is_new and isinstance(made, BackupRun) and made.spec == run_spec(schedule.spec):
            status = made.status.model_copy(update={"admission_policy": policy})
            await self._context.cluster.backups.write_status(made, status)

    async def _warn(self, schedule: Schedule, new: NewRun, reason: Reason, message: str, about: str = "") -> None:
        """`about`: tells Events with the same reason and slot apart."""
        occurrence = _occurrence(schedule, new)
        await self._context.events.record(
            EventRecord(schedule.owner, reason, message, occurrence, warning=True, about=about)
        )


def _occurrence(schedule: Schedule, new: NewRun) -> int:
    return int(new.slot.timestamp()) if new.slot else schedule.generation


def _manifest(schedule: Schedule, new: NewRun) -> dict[str, object]:
    return scheduled_run(schedule=schedule.owner, name=new.name, spec=schedule.spec, by=new.by, slot=new.slot)
