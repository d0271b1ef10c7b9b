"""Slots of cron expressions, in all time zones and across changes of clocks."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotenode_backup.domain.schedule import COUNTED_AT_MOST, CronSchedule, Due, ScheduleInvalid

EXPRESSIONS = ["0 0 2 * * *", "30 2 * * *", "*/5 * * * *", "15 0,12 * * 1-5", "0 3 1 * *", "59 59 23 * * SUN"]
zones = st.sampled_from(sorted(available_timezones()))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - hypothesis adds the zone
    lambda moment: moment.replace(microsecond=0)
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_the_default_of_quotenode_is_two_at_night() -> None:
    assert CronSchedule("0 0 2 * * *", "Etc/UTC").next_after(at("2026-11-24T12:00:00Z")) == at("2026-11-25T02:00:00Z")


def test_a_number_of_seconds_shifts_every_slot() -> None:
    found = CronSchedule("30 0 2 * * *", "Etc/UTC").next_after(at("2026-11-24T02:00:00Z"))
    assert found == at("2026-11-24T02:00:30Z")


@pytest.mark.parametrize("expression", ["0 2 * * *", "0 0 2 * * *", "30 2 * * *"])
def test_the_night_that_leaves_out_the_hour_has_its_backup_too(expression: str) -> None:
    schedule = CronSchedule(expression, "Europe/Berlin")
    assert schedule.next_after(at("2026-03-28T12:00:00Z")) == at("2026-03-29T03:00:00+02:00")


def test_the_night_that_repeats_the_hour_has_one_backup() -> None:
    slots = list(islice(CronSchedule("0 30 2 * * *", "Europe/Berlin").after(at("2026-10-24T12:00:00Z")), 2))
    assert slots[1] - slots[0] == timedelta(hours=24 if slots[0].hour == 1 else 25)


@pytest.mark.parametrize(
    ("expression", "zone", "expected"),
    [
        ("* * * *", "Etc/UTC", "needs five cron fields"),
        ("*/5 0 2 * * *", "Etc/UTC", "one number of seconds first"),
        ("60 0 2 * * *", "Etc/UTC", "one number of seconds first"),
        ("61 * * * *", "Etc/UTC", "Bad minute"),
        ("0 0 31 2 *", "Etc/UTC", "Bad day-of-month"),
        ("0 2 * * *", "Europe/Nowhere", "timeZone 'Europe/Nowhere'"),
        ("0 2 * * *", "../etc/passwd", "timeZone"),
    ],
)
def test_an_expression_or_zone_that_cannot_be_read_is_named(expression: str, zone: str, expected: str) -> None:
    with pytest.raises(ScheduleInvalid, match=expected):
        CronSchedule(expression, zone)


@settings(max_examples=300, deadline=None)
@given(zone=zones, moment=moments, expression=st.sampled_from(EXPRESSIONS))
def test_forwards_and_backwards_find_the_same_slot(zone: str, moment: datetime, expression: str) -> None:
    schedule = CronSchedule(expression, zone)
    slot = schedule.next_after(moment)
    assert slot is not None
    assert slot > moment
    assert schedule.due(moment, slot) == Due(slot, ())
    assert schedule.due(moment, slot - timedelta(seconds=1)) is None


@settings(max_examples=200, deadline=None)
@given(zone=zones, moment=moments)
def test_no_day_in_any_zone_goes_without_its_backup(zone: str, moment: datetime) -> None:
    slots = list(islice(CronSchedule("0 0 2 * * *", zone).after(moment), 4))
    # Samoa and Tokelau once left out a whole day, whose backup is then made at the day's end. Elsewhere a slot is never more
    # than three hours off.
    least = timedelta(hours=2 if zone in {"Pacific/Apia", "Pacific/Fakaofo"} else 21)
    assert all(least <= later - slot <= timedelta(hours=27) for slot, later in pairwise(slots))


def test_a_day_that_is_left_out_has_its_backup_at_its_end() -> None:
    slots = list(islice(CronSchedule("0 0 2 * * *", "Pacific/Apia").after(at("2011-12-29T00:00:00Z")), 4))
    expected = ["2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T12:00:00Z", "2011-12-31T12:00:00Z"]
    assert slots == [at(text) for text in expected]


def test_slots_that_passed_are_counted_up_to_a_limit() -> None:
    schedule, start = CronSchedule("* * * * *", "Etc/UTC"), at("2026-01-01T00:00:00Z")
    first, second, third = (start + timedelta(minutes=count) for count in (1, 2, 3))
    assert schedule.due(start, third) == Due(third, (first, second))
    due = schedule.due(start, start + timedelta(days=365))
    assert due is not None
    assert len(due.passed) == COUNTED_AT_MOST
