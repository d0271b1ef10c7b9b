"""Which worker gets what, and in which order.

A file's stories share a namespace and go to one worker, one after the other. They wait for real limits for most of the time, so there are
more workers than processors, and what takes longest begins first. Each step of a crash walk has a namespace of its own and goes to
whoever is free: these fill the time that the stories leave.

A worker of xdist runs a test only when it knows the next one, so that one always is assigned ahead. It is a step of a walk behind the last
story of a file: another file would wait there while that story goes on, which can take minutes, and other workers have nothing to do.
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
    "test_restore_interrupted.py",
    "test_restore.py",
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

    def _reschedule(self, node: object) -> None:
        if node.shutting_down or not self.workqueue:  # type: ignore[attr-defined]
            super()._reschedule(node)
            return
        pending = [
            test for scope in self.assigned_work[node].values() for test, is_done in scope.items() if not is_done
        ]
        if len(pending) > 1:
            return
        if pending and WALKS not in pending[0]:
            self._put_first_a_step_of_a_walk()
        self._assign_work_unit(node)

    def _put_first_a_step_of_a_walk(self) -> None:
        step = next((scope for scope in self.workqueue if WALKS in scope), None)
        if step:
            self.workqueue.move_to_end(step, last=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(item.path.name))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> StoryScheduling:
    config.option.loadscopereorder = False  # it would begin with the files that have the most tests
    return StoryScheduling(config, log)
