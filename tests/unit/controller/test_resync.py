"""When everything is listed again: every few minutes, and soon after the clock was set."""

import asyncio
import time

import pytest

from quotenode_backup.controller.resync import ClockWatch, rest


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 30 * 86_400.0, -86_400.0])
def test_a_clock_that_was_set_is_seen_once(jump: float) -> None:
    walls = iter([1000.0, 1030.0, 1060.0 + jump, 1090.0 + jump])
    clock = ClockWatch(lambda: next(walls), iter([0.0, 30.0, 60.0, 90.0]).__next__)
    assert [clock.has_jumped() for _ in range(3)] == [False, True, False]


def test_a_clock_that_is_led_back_slowly_has_not_jumped() -> None:
    """Time daemons slew the clock by at most half a thousandth."""
    walls = (1000.0 + number * 30.0 * 1.0005 for number in range(1000))
    clock = ClockWatch(walls.__next__, (number * 30.0 for number in range(1000)).__next__)
    assert not any(clock.has_jumped() for _ in range(999))


def test_a_rest_ends_with_its_time_or_when_it_is_over() -> None:
    checks = iter([False, False, True])
    began = time.monotonic()
    asyncio.run(rest(60, checks.__next__, check_seconds=0.01))
    assert time.monotonic() - began < 30
    asyncio.run(rest(0.02, lambda: False, check_seconds=0.01))
    assert next(checks, None) is None
