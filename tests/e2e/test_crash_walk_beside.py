"""The walk along the writes of an offline run and of one that prunes: see `crash_walk`."""

import pytest

from tests.e2e.crash_walk import (
    Begin,
    assert_ends_the_same,
    assert_writes_what_is_recorded,
    begin,
    database,
    points,
)

__all__ = ["begin", "database"]


@pytest.mark.parametrize("scenario", ["offline", "prunes"])
def test_an_undisturbed_run_writes_what_is_recorded(begin: Begin, scenario: str) -> None:
    assert_writes_what_is_recorded(begin(scenario, ""))


@pytest.mark.parametrize(("scenario", "crash_at"), [*points("offline", "after"), *points("prunes", "after")])
def test_killed_there_the_run_ends_the_same(begin: Begin, scenario: str, crash_at: str) -> None:
    assert_ends_the_same(begin(scenario, crash_at), crash_at)
