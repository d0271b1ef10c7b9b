"""What a schedule does next, as a function of what is observed. Pure: `now` is an argument.

A run is created before the status records its slot or trigger. If the operator dies in between, the same slot or
trigger gives the same name again, and the existing run is adopted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from quotenode_backup.api.backup import STALE_AFTER, BackupSpec
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.conditions import MESSAGE_LIMIT, ConditionType, Phase
from quotenode_backup.cluster.objects import Backup, Schedule, UnreadableSchedule
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.domain.naming import slot_run_name, trigger_run_name
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.schedule import CronSchedule, Due, ScheduleInvalid
from quotenode_backup.domain.text import shortened
from quotenode_backup.manifests.event import EventRecord
from quotenode_backup.reconcile.reporting.conditions import Finding, with_conditions
from quotenode_backup.reconcile.reporting.requeue import NOW
from quotenode_backup.reconcile.schedule.history import REMOVED_AT_ONCE, beyond_limits, with_runs

SUSPENDED = "Suspended"
INVALID = "Invalid"
CLOCK_TOLERANCE = timedelta(minutes=1)

AnySchedule = Schedule | UnreadableSchedule


@dataclass(frozen=True, slots=True)
class NewRun:
    name: str
    by: InitiatedBy
    slot: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    status: BackupStatus
    requeue_after: timedelta | None
    """None: not before a watch event or the resync asks for it."""
    new_run: NewRun | None = None
    events: tuple[EventRecord, ...] = ()
    removed: tuple[Backup, ...] = ()
    """Old runs whose resources are deleted once the status is written."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Everything that a decision about a readable schedule rests on."""

    schedule: Schedule
    cron: CronSchedule
    runs: Sequence[Backup]
    now: datetime

    @property
    def spec(self) -> BackupSpec:
        return self.schedule.spec

    @property
    def status(self) -> BackupStatus:
        return self.schedule.status

    @property
    def in_force(self) -> str:
        if self.spec.suspend:
            return SUSPENDED
        return f"{self.spec.schedule} {self.spec.zone}"

    def named(self, name: str) -> Backup | None:
        return next((run for run in self.runs if run.name == name), None)

    def unfinished_but(self, name: str) -> Backup | None:
        return next((run for run in self.runs if run.name != name and not run.deleting and not run.is_over), None)


def decide(schedule: AnySchedule, runs: Sequence[Backup], now: datetime) -> Decision:
    """`runs`: the existing runs of the schedule."""
    if isinstance(schedule, UnreadableSchedule):
        advice = "run helm upgrade with the chart of one release, CRDs included"
        return refused(schedule, runs, Reason.SCHEDULE_INVALID, f"{schedule.fault}: {advice}", now)
    try:
        cron = CronSchedule(schedule.spec.schedule or "", schedule.spec.zone)
    except ScheduleInvalid as exc:
        return refused(schedule, runs, Reason.SCHEDULE_INVALID, f"{exc}: correct the spec", now)
    seen = _Seen(schedule, cron, runs, now)
    trigger, last_trigger = schedule.spec.trigger, schedule.status.last_trigger
    if trigger != last_trigger:
        if last_trigger is None and trigger == schedule.last_trigger:
            return _served_before(seen, trigger)
        return _triggered(seen, trigger) if trigger else _decided(seen, NOW, last_trigger=None)
    if _has_changed(seen):
        # Slots of the old schedule, or of the time while it was suspended, are not made up for.
        start = schedule.created if schedule.status.observed_schedule is None else now
        return _decided(seen, NOW, slots_from=start, observed_schedule=seen.in_force)
    due = None if schedule.spec.suspend else cron.due(schedule.status.slots_from or schedule.created, now)
    return _slot_due(seen, due) if due else _between_slots(seen)


def without_run(schedule: Schedule, decision: Decision) -> Decision:
    """The decision when its run could not be created: a slot counts as skipped."""
    is_slot = decision.new_run is not None and decision.new_run.slot is not None
    skipped = (schedule.status.skipped_slots or 0) + 1 if is_slot else schedule.status.skipped_slots
    known = {"last_schedule_time": schedule.status.last_schedule_time, "skipped_slots": skipped}
    return replace(decision, status=decision.status.model_copy(update=known), new_run=None)


def admitted(decision: Decision, policy: str) -> Decision:
    """`policy`: UID of the admission policy that checked the schedule; empty when the release has none."""
    return replace(decision, status=decision.status.model_copy(update={"admission_policy": policy or None}))


def refused(
    schedule: AnySchedule,
    runs: Sequence[Backup],
    reason: Reason,
    message: str,
    now: datetime,
    requeue_after: timedelta | None = None,
) -> Decision:
    """No run is created until the schedule is changed, or until the pass after `requeue_after` finds it accepted."""
    remembered = with_runs(schedule.status, runs)
    stale_at = _stale_at(schedule, remembered)
    staleness = _staleness(remembered, stale_at, now)
    found = {ConditionType.ACCEPTED: Finding(False, reason, message), ConditionType.STALE: staleness}
    update: dict[str, Any] = {"phase": Phase.FAILED, "reason": reason, "message": shortened(message, MESSAGE_LIMIT)}
    # Slots count from the moment when the schedule is accepted again, so that none of those before it counts as missed.
    update |= {"next_schedule_time": None, "observed_generation": schedule.generation, "observed_schedule": INVALID}
    status = with_conditions(schedule, remembered, found, now).model_copy(update=update)
    is_known = schedule.status.reason == reason and schedule.status.observed_generation == schedule.generation
    event = EventRecord(schedule.owner, reason, message, schedule.generation, warning=True)
    waits = [*([requeue_after] if requeue_after else []), *([stale_at - now] if stale_at and stale_at > now else [])]
    events = (*(() if is_known else (event,)), *_stale_events(schedule, status))
    return Decision(status, min(waits, default=None), events=events)


def _has_changed(seen: _Seen) -> bool:
    """Whether slots must be counted anew: the schedule was edited, or the clock was set back behind the last slot."""
    status = seen.status
    ahead = status.slots_from is not None and status.slots_from > seen.now + CLOCK_TOLERANCE
    return ahead or status.observed_schedule != seen.in_force


def _triggered(seen: _Seen, value: str) -> Decision:
    name = trigger_run_name(seen.schedule.name, seen.schedule.uid, value)
    made = seen.named(name)
    # An unfinished run may have been created by a pass that died before it wrote the status, so the run is adopted.
    if made and made.is_over:
        message = f"Trigger {value!r} has the run {name} already, so none is started: use another value"
        event = _ignored(seen, message)
        return _decided(seen, NOW, events=(event,), last_trigger=value)
    return _decided(seen, NOW, new_run=NewRun(name, InitiatedBy.ADMIN, None), last_trigger=value)


def _served_before(seen: _Seen, value: str | None) -> Decision:
    """The schedule was deleted and created again without its status, but its annotation records the trigger."""
    message = (
        f"Trigger {value!r} was acted on before this schedule was re-created, so no run is started: use another value"
    )
    event = _ignored(seen, message)
    return _decided(seen, NOW, events=(event,), last_trigger=value)


def _slot_due(seen: _Seen, due: Due) -> Decision:
    """A slot is due: create its run, or record why not."""
    status, slot = seen.status, due.slot
    name = slot_run_name(seen.schedule.name, seen.schedule.uid, slot)
    allowed = seen.spec.starting_deadline
    is_late = (seen.now - slot).total_seconds() > allowed and seen.named(name) is None
    missed = _missed_count(seen, due.passed) + (1 if is_late else 0)
    events = (_missed(seen, slot, missed, is_late, allowed),) if missed else ()
    news: dict[str, Any] = {"slots_from": slot, "missed_slots": (status.missed_slots or 0) + missed}
    if is_late:
        return _decided(seen, NOW, events=events, **news)
    busy = seen.unfinished_but(name)
    if busy and seen.named(name) is None:
        message = f"The slot of {slot:%Y-%m-%d %H:%M:%SZ} is skipped: run {busy.name} is still on"
        events = (*events, _about_slot(seen, Reason.SLOT_SKIPPED, message, slot))
        return _decided(seen, NOW, events=events, skipped_slots=(status.skipped_slots or 0) + 1, **news)
    new_run = NewRun(name, InitiatedBy.SCHEDULER, slot)
    return _decided(seen, NOW, new_run=new_run, events=events, last_schedule_time=slot, **news)


def _missed_count(seen: _Seen, slots: tuple[datetime, ...]) -> int:
    """How many of these slots have no run. A pass may have created the run of one and died before it recorded that."""
    made = {run.name for run in seen.runs}
    return sum(slot_run_name(seen.schedule.name, seen.schedule.uid, slot) not in made for slot in slots)


def _missed(seen: _Seen, slot: datetime, count: int, is_late: bool, allowed: int) -> EventRecord:
    message = f"{count} slot{'s' if count > 1 else ''} before {slot:%Y-%m-%d %H:%M:%SZ} passed without an operator"
    if is_late:
        message = (
            f"{count} slot{'s' if count > 1 else ''} up to {slot:%Y-%m-%d %H:%M:%SZ} passed more than {allowed} s ago"
        )
    return _about_slot(seen, Reason.SLOT_MISSED, f"{message}: no run was made for them", slot)


def _about_slot(seen: _Seen, reason: Reason, message: str, slot: datetime) -> EventRecord:
    return EventRecord(seen.schedule.owner, reason, message, int(slot.timestamp()), warning=True)


def _ignored(seen: _Seen, message: str) -> EventRecord:
    return EventRecord(seen.schedule.owner, Reason.TRIGGER_IGNORED, message, seen.schedule.generation, warning=False)


def _between_slots(seen: _Seen) -> Decision:
    """Nothing to start: record when the next slot is due, and how old the last successful backup is."""
    status = with_runs(seen.status, seen.runs)
    next_slot = None if seen.spec.suspend else seen.cron.next_after(max(seen.now, status.slots_from or seen.now))
    stale_at = _stale_at(seen.schedule, status)
    waits = [moment - seen.now for moment in (next_slot, stale_at) if moment and moment > seen.now]
    at_rest = _at_rest(seen, status.model_copy(update={"next_schedule_time": next_slot}), stale_at)
    removed = beyond_limits(seen.spec, seen.runs)
    requeue_after = NOW if len(removed) == REMOVED_AT_ONCE else min(waits, default=None)
    return Decision(at_rest, requeue_after, events=_stale_events(seen.schedule, at_rest), removed=removed)


def _stale_at(schedule: AnySchedule, status: BackupStatus) -> datetime | None:
    """When the last successful backup becomes too old; None while the schedule is suspended."""
    if isinstance(schedule, Schedule) and schedule.spec.suspend:
        return None
    allowed = schedule.spec.stale_after if isinstance(schedule, Schedule) else STALE_AFTER
    return (status.last_successful_time or schedule.created) + timedelta(seconds=allowed)


def _staleness(status: BackupStatus, stale_at: datetime | None, now: datetime) -> Finding:
    last = status.last_successful_time
    age = (
        f"The last successful backup was at {last:%Y-%m-%d %H:%M:%SZ}" if last else "There is no successful backup yet"
    )
    if stale_at is None or now < stale_at:
        return Finding(False, Reason.BACKUP_FRESH, age)
    advice = "find out why the newest runs failed, then start one with a new spec.trigger"
    return Finding(True, Reason.BACKUP_STALE, f"{age}, and the next one is overdue (staleAfterSeconds): {advice}")


def _at_rest(seen: _Seen, status: BackupStatus, stale_at: datetime | None) -> BackupStatus:
    suspended = bool(seen.spec.suspend)
    reason = Reason.SUSPENDED if suspended else Reason.SCHEDULED
    message = "Suspended: no slot starts a run; a new spec.trigger does" if suspended else "Runs are made as scheduled"
    message += _of_last_run(status)
    found = {
        ConditionType.ACCEPTED: Finding(True, reason, "The schedule can be read"),
        ConditionType.STALE: _staleness(status, stale_at, seen.now),
    }
    phase = Phase.SUSPENDED if suspended else Phase.SCHEDULED
    update = {"phase": phase, "reason": reason, "message": message, "observed_generation": seen.schedule.generation}
    return with_conditions(seen.schedule, status, found, seen.now).model_copy(update=update)


def _of_last_run(status: BackupStatus) -> str:
    last = status.last_run
    return f"; the last one, {last.name}, is {last.phase or Phase.PENDING}" if last else "; there has been none yet"


def _stale_events(schedule: AnySchedule, status: BackupStatus) -> tuple[EventRecord, ...]:
    """An Event for the pass in which the last successful backup has become too old."""
    condition = status.condition(ConditionType.STALE)
    if not status.holds(ConditionType.STALE) or schedule.status.holds(ConditionType.STALE) or condition is None:
        return ()
    last = int((status.last_successful_time or schedule.created).timestamp())
    return (EventRecord(schedule.owner, Reason.BACKUP_STALE, condition.message, last, warning=True),)


def _decided(
    seen: _Seen,
    requeue_after: timedelta,
    *,
    new_run: NewRun | None = None,
    events: tuple[EventRecord, ...] = (),
    **news: Any,
) -> Decision:
    return Decision(seen.status.model_copy(update=news), requeue_after, new_run, events)
