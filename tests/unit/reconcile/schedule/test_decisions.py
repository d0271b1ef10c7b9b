"""What a schedule does next."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.cluster.objects import Schedule
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.schedule.decisions import Decision, decide, without_run
from tests.unit.fakes import given
from tests.unit.fakes.given import START, mark, named, run, spec, status

HOURLY = "0 * * * *"
IN_FORCE = f"{HOURLY} Etc/UTC"


def hours(count: float) -> datetime:
    """So many minutes after START, which is on the hour."""
    return START + timedelta(hours=count)


def schedule(known: BackupStatus | None = None, **changes: Any) -> Schedule:
    known = known or BackupStatus(observed_schedule=IN_FORCE, slots_from=START)
    return given.schedule(known, **({"schedule": HOURLY} | changes))


def reasons(decision: Decision) -> list[str]:
    return [event.reason for event in decision.events]


def followed(one: Schedule, decision: Decision) -> Schedule:
    return replace(one, status=decision.status)


def test_a_new_schedule_counts_its_slots_from_its_creation() -> None:
    first = decide(schedule(BackupStatus()), [], hours(1.5))
    assert (first.status.slots_from, first.status.observed_schedule) == (START, IN_FORCE)
    assert first.new_run is None


def test_a_slot_makes_one_run_that_is_named_after_it() -> None:
    one = schedule()
    decision = decide(one, [], hours(1.1))
    assert decision.new_run
    assert decision.new_run.slot == hours(1)
    assert decide(one, [], hours(1.2)).new_run == decision.new_run
    assert decide(followed(one, decision), [], hours(1.2)).new_run is None
    assert decision.status.last_schedule_time == hours(1)


def test_a_slot_is_made_up_to_its_starting_deadline() -> None:
    one = schedule(startingDeadlineSeconds=60)
    last, late = hours(1) + timedelta(seconds=60), hours(1) + timedelta(seconds=61)
    assert (decide(one, [], last).status.missed_slots, decide(one, [], late).status.missed_slots) == (0, 1)
    assert decide(one, [], last).new_run
    assert decide(one, [], late).new_run is None


def test_a_run_that_came_back_without_its_status_keeps_no_slot_and_no_trigger_waiting() -> None:
    history = run(name="nightly-1", mark=mark(name="nightly-1"), created=hours(1))
    assert decide(schedule(), [history], hours(1.1)).new_run
    one = schedule(trigger="now")
    made = decide(one, [], hours(0.1)).new_run
    assert made
    again = decide(one, [named(history, made.name)], hours(0.1))
    assert (again.new_run, reasons(again)) == (None, [Reason.TRIGGER_IGNORED])


@pytest.mark.parametrize("suspend", [True, False])
def test_a_trigger_that_the_annotation_knows_is_served_only_while_the_status_knows_none(suspend: bool) -> None:
    one = replace(schedule(BackupStatus(), trigger="now", suspend=suspend), last_trigger="now")
    decision = decide(one, [], hours(0.1))
    assert (decision.new_run, decision.status.last_trigger, reasons(decision)) == (
        None,
        "now",
        [Reason.TRIGGER_IGNORED],
    )
    assert decide(replace(one, last_trigger="before"), [], hours(0.1)).new_run
    assert decide(replace(one, status=BackupStatus(last_trigger="before")), [], hours(0.1)).new_run


def test_between_slots_it_says_when_the_next_one_comes() -> None:
    decision = decide(schedule(), [], hours(0.5))
    assert (decision.status.phase, decision.status.next_schedule_time) == ("Scheduled", hours(1))
    assert decision.requeue_after == timedelta(minutes=30)


def test_between_slots_it_says_how_the_last_run_went() -> None:
    decision = decide(schedule(), [], hours(0.5))
    assert decision.status.message == "Runs are made as scheduled; there has been none yet"
    bad = run(status(holding=("Failed",), phase="Failed", completion_time=hours(0.2)), name="night-1")
    decision = decide(schedule(), [bad], hours(0.5))
    assert decision.status.message == "Runs are made as scheduled; the last one, night-1, is Failed"


def test_after_a_downtime_one_run_catches_up_and_the_others_are_counted() -> None:
    decision = decide(schedule(), [], hours(3.1))
    assert decision.new_run
    assert (decision.new_run.slot, decision.status.missed_slots) == (hours(3), 2)
    assert reasons(decision) == [Reason.SLOT_MISSED]


def test_a_slot_whose_run_was_made_but_not_remembered_was_not_missed() -> None:
    made = decide(schedule(), [], hours(1)).new_run
    assert made
    there = run(status(holding=("Accepted", "Complete")), name=made.name)
    assert decide(schedule(), [there], hours(3.1)).status.missed_slots == 1


def test_a_slot_that_is_noticed_too_late_is_missed() -> None:
    decision = decide(schedule(startingDeadlineSeconds=60), [], hours(1.5))
    assert (decision.new_run, decision.status.missed_slots) == (None, 1)
    assert "more than 60 s ago" in decision.events[0].message


def test_a_slot_that_comes_while_an_earlier_run_is_unfinished_is_skipped() -> None:
    decision = decide(schedule(), [run(name="before")], hours(1.1))
    assert (decision.new_run, decision.status.skipped_slots) == (None, 1)
    assert "run before is still on" in decision.events[0].message


def test_a_run_that_is_being_deleted_holds_no_slot_up() -> None:
    going = run(status(), name="going", deleting=True)
    assert decide(schedule(), [going], hours(1.1)).new_run


def test_a_slot_whose_run_was_made_is_not_missed_however_late_it_is_remembered() -> None:
    one = schedule(startingDeadlineSeconds=600)
    made = decide(one, [], hours(1.1)).new_run
    assert made
    late = decide(one, [run(status(), name=made.name)], hours(1.5))
    assert (late.events, late.status.missed_slots, late.status.last_schedule_time) == ((), 0, hours(1))
    assert late.new_run == made


def test_an_existing_run_of_the_slot_is_adopted() -> None:
    made = decide(schedule(), [], hours(1.1)).new_run
    assert made
    again = decide(schedule(), [run(name=made.name)], hours(1.1))
    assert (again.new_run, again.status.skipped_slots) == (made, None)


def test_an_existing_run_of_the_slot_is_adopted_while_another_run_is_unfinished() -> None:
    made = decide(schedule(), [], hours(1.1)).new_run
    assert made
    again = decide(schedule(), [run(name="triggered"), run(name=made.name)], hours(1.1))
    assert (again.new_run, again.status.skipped_slots) == (made, None)


def test_a_slot_whose_run_could_not_be_made_is_skipped_and_a_trigger_is_not() -> None:
    one = schedule(BackupStatus(observed_schedule=IN_FORCE, slots_from=START, last_schedule_time=START))
    slot = without_run(one, decide(one, [], hours(1.1)))
    assert (slot.new_run, slot.status.skipped_slots, slot.status.last_schedule_time) == (None, 1, START)
    assert slot.status.slots_from == hours(1)
    triggered = replace(one, spec=spec(schedule=HOURLY, trigger="now"))
    trigger = without_run(triggered, decide(triggered, [], hours(0.1)))
    assert (trigger.new_run, trigger.status.skipped_slots, trigger.status.last_trigger) == (None, None, "now")


def test_while_suspended_only_a_trigger_starts_a_run() -> None:
    one = schedule(BackupStatus(observed_schedule="Suspended", slots_from=START), suspend=True)
    assert decide(one, [], hours(5)).new_run is None
    assert decide(one, [], hours(5)).status.phase == "Suspended"
    triggered = replace(one, spec=spec(schedule=HOURLY, suspend=True, trigger="now"))
    assert decide(triggered, [], hours(5)).new_run


def test_what_was_due_while_suspended_is_not_made_up_for() -> None:
    one = schedule(BackupStatus(observed_schedule="Suspended", slots_from=START))
    resumed = followed(one, decide(one, [], hours(5.5)))
    assert decide(resumed, [], hours(5.6)).new_run is None
    assert decide(resumed, [], hours(6)).new_run


def test_an_edit_counts_from_the_next_slot() -> None:
    one = schedule(schedule="30 * * * *")
    edited = followed(one, decide(one, [], hours(1.75)))
    assert decide(edited, [], hours(1.8)).new_run is None
    assert decide(edited, [], hours(1.8)).status.next_schedule_time == hours(2.5)


def test_a_clock_that_was_set_back_does_not_stop_the_schedule() -> None:
    one = schedule(BackupStatus(observed_schedule=IN_FORCE, slots_from=hours(9000)))
    back = followed(one, decide(one, [], hours(1.5)))
    assert back.status.slots_from == hours(1.5)
    assert decide(back, [], hours(2)).new_run


def test_a_clock_that_is_set_back_a_little_changes_nothing() -> None:
    resting = decide(schedule(BackupStatus(observed_schedule=IN_FORCE, slots_from=hours(1))), [], hours(0.99))
    assert (resting.new_run, resting.status.slots_from) == (None, hours(1))
    assert resting.status.next_schedule_time == hours(2)


def test_a_trigger_starts_one_run_and_the_same_value_does_not_start_another() -> None:
    one = schedule(trigger="tuesday")
    decision = decide(one, [], hours(0.1))
    assert decision.new_run
    assert decide(followed(one, decision), [], hours(0.2)).new_run is None
    ended = run(status(holding=("Accepted", "Failed")), name=decision.new_run.name)
    ignored = decide(one, [ended], hours(0.3))
    assert (ignored.new_run, reasons(ignored)) == (None, [Reason.TRIGGER_IGNORED])


def test_an_existing_unfinished_run_of_the_trigger_is_adopted() -> None:
    """An operator that died right after it had created the run must not report the trigger as ignored."""
    one = schedule(trigger="tuesday")
    made = decide(one, [], hours(0.1)).new_run
    assert made
    again = decide(one, [run(name=made.name)], hours(0.2))
    assert (again.new_run, again.status.last_trigger, again.events) == (made, "tuesday", ())


def test_a_trigger_that_was_taken_back_can_be_given_again() -> None:
    """Its run is gone. If the run still existed, the same value would be ignored with an Event."""
    one = schedule(BackupStatus(observed_schedule=IN_FORCE, slots_from=START, last_trigger="tuesday"))
    cleared = followed(one, decide(one, [], hours(0.1)))
    assert cleared.status.last_trigger is None
    again = replace(cleared, spec=spec(schedule=HOURLY, trigger="tuesday"))
    assert decide(again, [], hours(0.2)).new_run


@pytest.mark.parametrize("wrong", [{"schedule": "61 * * * *"}, {"timeZone": "Europe/Nowhere"}])
def test_a_schedule_that_cannot_be_read_says_so_once_and_starts_nothing(wrong: dict[str, Any]) -> None:
    one = schedule(**wrong)
    decision = decide(one, [], hours(5))
    assert (decision.status.phase, decision.status.reason) == ("Failed", "ScheduleInvalid")
    assert reasons(decision) == [Reason.SCHEDULE_INVALID]
    assert decide(followed(one, decision), [], hours(5)).events == ()
    assert not decision.status.is_finished


def test_a_schedule_that_is_still_wrong_after_an_edit_gets_another_event() -> None:
    one = schedule(schedule="61 * * * *")
    edited = replace(followed(one, decide(one, [], hours(5))), generation=2, spec=spec(schedule="62 * * * *"))
    assert reasons(decide(edited, [], hours(5))) == [Reason.SCHEDULE_INVALID]


def test_a_schedule_that_cannot_be_read_has_a_pass_when_its_newest_backup_becomes_too_old() -> None:
    one = schedule(schedule="61 * * * *", staleAfterSeconds=7200)
    young = decide(one, [], hours(1.5))
    assert young.requeue_after == timedelta(minutes=30)
    old = decide(followed(one, young), [], hours(2))
    assert (reasons(old), old.requeue_after) == ([Reason.BACKUP_STALE], None)


def test_a_schedule_that_cannot_be_read_remembers_its_last_run_all_the_same() -> None:
    good = run(status(holding=("Accepted", "Complete"), completion_time=hours(1)), name="good")
    assert decide(schedule(schedule="61 * * * *"), [good], hours(5)).status.last_successful_time == hours(1)


def test_old_runs_go_only_while_nothing_else_is_to_be_done() -> None:
    old = [
        run(status(holding=("Accepted", "Failed"), completion_time=hours(-number)), name=f"old-{number}")
        for number in range(30)
    ]
    one = schedule(failedRunsHistoryLimit=3)
    assert decide(one, old, hours(1.1)).removed == ()
    resting = decide(one, old, hours(0.5))
    assert (resting.removed[0].name, len(resting.removed), resting.requeue_after) == ("old-29", 20, timedelta(0))
    assert decide(one, old[:10], hours(0.5)).requeue_after == timedelta(minutes=30)


def test_the_newest_good_backup_decides_on_staleness() -> None:
    good = run(status(holding=("Accepted", "Complete"), completion_time=hours(0.2)), name="good")
    one = schedule(staleAfterSeconds=1200)
    fresh = decide(one, [good], hours(0.3))
    assert not fresh.status.holds(ConditionType.STALE)
    stale = decide(followed(one, fresh), [], hours(0.6))
    assert stale.status.holds(ConditionType.STALE)
    assert reasons(stale) == [Reason.BACKUP_STALE]
    assert stale.status.last_successful_time == hours(0.2)
    assert decide(followed(one, stale), [], hours(0.7)).events == ()


def test_a_schedule_becomes_stale_at_the_configured_second_and_has_a_pass_then() -> None:
    one = schedule(staleAfterSeconds=1200)
    decision = decide(one, [], START + timedelta(seconds=1199))
    assert (decision.status.holds(ConditionType.STALE), decision.requeue_after) == (False, timedelta(seconds=1))
    assert decide(one, [], START + timedelta(seconds=1200)).status.holds(ConditionType.STALE)


def test_while_suspended_no_backup_gets_too_old() -> None:
    one = schedule(BackupStatus(observed_schedule="Suspended", slots_from=START), suspend=True, staleAfterSeconds=60)
    resting = decide(one, [], hours(5))
    assert not resting.status.holds(ConditionType.STALE)
    assert (resting.events, resting.requeue_after) == ((), None)
