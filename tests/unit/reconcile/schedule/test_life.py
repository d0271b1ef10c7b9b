"""A schedule in a cluster in memory: each slot gets one run, whenever the operator dies."""

from datetime import UTC, datetime, timedelta

import pytest

from quotenode_backup.cluster.errors import ApiError, Refused, Unavailable
from quotenode_backup.domain.naming import slot_run_name
from quotenode_backup.domain.reasons import Reason
from tests.unit.fakes.lives import ends_with, event_reasons, killed_everywhere, live_until, rounds
from tests.unit.fakes.world import EVENTS, RUNS, Client, World

START = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
QUARTERS = "0 */15 * * * *"


def scheduled(**spec: object) -> World:
    world = World(ends_with(Reason.COMPLETED))
    world.apply("nightly", schedule=QUARTERS, **spec)
    return world


def runs(world: World) -> list[dict[str, object]]:
    return [run for run in world.in_(RUNS) if "schedule" not in run["spec"]]


def slots(world: World) -> list[str]:
    return sorted(run["metadata"]["annotations"]["backup.quotenode.io/slot"] for run in runs(world))  # type: ignore[index]


ALL_OF_AN_HOUR = ["2026-03-01T02:15:00Z", "2026-03-01T02:30:00Z", "2026-03-01T02:45:00Z"]
AN_HOUR = live_until(START + timedelta(minutes=58))
ONE_SLOT = live_until(START + timedelta(minutes=18))


def test_each_slot_gets_one_run() -> None:
    world = scheduled()
    AN_HOUR(world, None)
    assert slots(world) == ALL_OF_AN_HOUR
    assert {world.status(str(run["metadata"]["name"]))["phase"] for run in runs(world)} == {"Completed"}  # type: ignore[index]
    status = world.status("nightly")
    assert (status["phase"], status["nextScheduleTime"]) == ("Scheduled", "2026-03-01T03:00:00Z")
    assert status["lastScheduleTime"] == "2026-03-01T02:45:00Z"


def test_killed_before_and_after_every_write_a_slot_still_gets_one_run() -> None:
    def check(world: World) -> None:
        assert slots(world) == ALL_OF_AN_HOUR[:1]
        assert (world.status("nightly").get("missedSlots"), event_reasons(world).count("RunCreated")) == (0, 1)

    killed_everywhere(scheduled, check, least=10, live=ONE_SLOT)


def test_killed_at_every_write_a_trigger_starts_one_run() -> None:
    def check(world: World) -> None:
        assert [run["metadata"]["labels"]["backup.quotenode.io/initiated-by"] for run in runs(world)] == ["Admin"]  # type: ignore[index]
        assert world.status("nightly")["lastTrigger"] == "now"

    def made() -> World:
        return scheduled(suspend=True, trigger="now")

    killed_everywhere(made, check, least=8, live=live_until(START + timedelta(minutes=2)))


def test_after_a_downtime_over_three_slots_one_run_catches_up() -> None:
    world = scheduled()
    live_until(START + timedelta(minutes=5))(world, None)
    world.now = START + timedelta(minutes=50)
    AN_HOUR(world, None)
    assert slots(world) == ["2026-03-01T02:45:00Z"]
    assert world.status("nightly")["missedSlots"] == 2
    assert event_reasons(world).count("SlotMissed") == 1


def test_a_slot_whose_name_is_taken_counts_as_skipped_with_an_event_each_time() -> None:
    world = scheduled()
    uid = world.objects[f"{RUNS}/nightly"]["metadata"]["uid"]
    for minute in (15, 30):
        world.apply(slot_run_name("nightly", uid, START + timedelta(minutes=minute)))
    AN_HOUR(world, None)
    assert (event_reasons(world).count("NameCollision"), world.status("nightly")["skippedSlots"]) == (2, 2)
    assert world.status("nightly")["lastScheduleTime"] == "2026-03-01T02:45:00Z"


@pytest.mark.parametrize(
    ("back", "other"),
    [
        (timedelta(hours=1), ["2026-03-01T02:00:00Z"]),
        (timedelta(days=1), [f"2026-02-28T03:{minute}:00Z" for minute in ("00", "15", "30", "45")]),
    ],
)
def test_a_clock_that_is_set_back_makes_no_slot_twice(back: timedelta, other: list[str]) -> None:
    """Only slots of a time before the schedule existed, which had no run, get one."""
    world = scheduled()
    AN_HOUR(world, None)
    world.now -= back
    live_until(world.now + timedelta(minutes=50))(world, None)
    assert slots(world) == [*other, *ALL_OF_AN_HOUR]


def test_a_clock_that_jumps_ahead_starts_one_run() -> None:
    world = scheduled(startingDeadlineSeconds=604800)
    AN_HOUR(world, None)
    world.now += timedelta(days=30)
    live_until(world.now + timedelta(minutes=1))(world, None)
    assert slots(world) == [*ALL_OF_AN_HOUR, "2026-03-31T02:45:00Z"]
    assert event_reasons(world).count("SlotMissed") == 1


def test_a_webhook_that_is_away_when_a_slot_comes_is_named_if_it_stays_away() -> None:
    def away(moment: str, request: str) -> None:
        if moment == "before" and request == f"POST {RUNS}" and world.now < until:
            raise Unavailable("failed calling webhook validate.example (500)")

    world = scheduled()
    first_slot = START + timedelta(minutes=15)
    until = first_slot + timedelta(minutes=5)
    client = Client(world, away)
    live_until(first_slot + timedelta(seconds=50))(world, client)
    assert "RunRefused" not in event_reasons(world)
    live_until(until + timedelta(minutes=2))(world, client)
    assert event_reasons(world).count("RunRefused") == 1
    assert slots(world) == ALL_OF_AN_HOUR[:1]
    assert world.status("nightly").get("missedSlots", 0) == 0


def test_a_trigger_that_is_refused_after_a_webhook_was_away_gets_an_event_about_each() -> None:
    world = scheduled(suspend=True, trigger="now")
    answers: list[ApiError] = [Unavailable("too many requests (429)")]

    def answer(moment: str, request: str) -> None:
        if moment == "before" and request == f"POST {RUNS}":
            raise answers[0]

    client = Client(world, answer)
    for now in (Unavailable("too many requests (429)"), Refused("denied by policy (403)")):
        answers[0] = now
        rounds(client, 3)
    notes = [event["note"] for event in world.in_(EVENTS) if event["reason"] == "RunRefused"]
    assert len(notes) == 2
    assert "is tried again: too many requests" in notes[0]
    assert "denied by policy" in notes[1]
