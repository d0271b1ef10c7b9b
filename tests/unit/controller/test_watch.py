"""Which changes come before those of resources that only wait."""

import pytest

from quotenode_backup.controller.watch import asks_for_more

SCHEDULE = {"metadata": {"name": "night"}, "spec": {"schedule": "0 3 * * *"}}
RUN = {"metadata": {"name": "one"}, "spec": {}}


@pytest.mark.parametrize(
    "item", [SCHEDULE, RUN | {"metadata": {"name": "one", "deletionTimestamp": "2026-01-01T00:00:00Z"}}]
)
def test_an_edit_of_a_schedule_and_a_deletion_come_first(item: dict[str, object]) -> None:
    assert asks_for_more(item)


def test_a_run_that_was_made_takes_its_turn_with_those_that_wait_for_a_lock() -> None:
    assert not asks_for_more(RUN)
