"""The walk along the writes of a schedule for one slot: see `crash_walk`."""

import pytest

from tests.e2e.crash_walk import (
    Begin,
    assert_ends_the_same,
    assert_writes_no_more_than_the_walk_goes_along,
    begin,
    database,
    points,
)

__all__ = ["begin", "database"]


def test_an_undisturbed_slot_writes_no_more_than_the_walk_goes_along(begin: Begin) -> None:
    assert_writes_no_more_than_the_walk_goes_along(begin("slot", ""))


@pytest.mark.parametrize(("scenario", "crash_at"), points("slot", "after"))
def test_killed_there_the_run_ends_the_same(begin: Begin, scenario: str, crash_at: str) -> None:
    assert_ends_the_same(begin(scenario, crash_at), crash_at)
