"""Which worker gets what, and in which order.

A file's stories share a namespace and go to one worker, one after the other. They wait for real limits for most of the time, so there are
more workers than processors, and what takes longest begins first. Each step of a crash walk has a namespace of its own and goes to
whoever is free: these fill the time that the stories leave.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

LONGEST_FIRST = (
    "test_schedule.py",
    "test_audit.py",
    "test_offline.py",
    "test_interruptions.py",
    "test_retention.py",
    "test_fault_table.py",
    "test_two_operators.py",
    "test_restore_by_hand.py",
    "test_alerts.py",
)
WALKS = "test_crash_walk"


def rank(file_name: str) -> int:
    if file_name.startswith(WALKS):
        return len(LONGEST_FIRST) + 1
    return LONGEST_FIRST.index(file_name) if file_name in LONGEST_FIRST else len(LONGEST_FIRST)


class StoryScheduling(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        """What goes to one worker together."""
        file, _, _ = nodeid.partition("::")
        return nodeid if WALKS in file else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(item.path.name))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> StoryScheduling:
    config.option.loadscopereorder = False  # it would begin with the files that have the most tests
    return StoryScheduling(config, log)
