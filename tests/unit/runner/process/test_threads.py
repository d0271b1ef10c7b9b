import threading

import pytest

from quotenode_backup.runner.process import threads
from quotenode_backup.runner.process.threads import Throttled, supervise, with_timeout


def nothing() -> None: ...


def test_results_come_in_the_order_of_the_work() -> None:
    last = threading.Event()

    def first_but_slow() -> str:
        last.wait(10)
        return "first"

    def second() -> str:
        last.set()
        return "second"

    assert supervise([first_but_slow, second], nothing, nothing) == ["first", "second"]


def test_the_first_failure_stops_the_rest() -> None:
    stopped = threading.Event()

    def goes_on() -> None:
        assert stopped.wait(10)

    def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        supervise([goes_on, fails], stopped.set, nothing)
    assert stopped.is_set()


def test_the_watch_can_end_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "POLL_SECONDS", 0.01)
    stopped = threading.Event()

    def watch() -> None:
        raise ConnectionError("the lock is gone")

    with pytest.raises(ConnectionError):
        supervise([lambda: stopped.wait(10)], stopped.set, watch)
    assert stopped.is_set()


def test_a_throttled_action_waits_before_its_first_call() -> None:
    calls: list[int] = []
    Throttled(3600, lambda: calls.append(1))()
    Throttled(0, lambda: calls.append(2))()
    assert calls == [2]


def test_a_task_that_takes_too_long_times_out() -> None:
    hangs = threading.Event()
    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        with_timeout(0.05, hangs.wait)
    hangs.set()
    assert with_timeout(10, lambda: "done") == "done"


def test_an_exception_of_a_task_is_raised_where_its_result_is_waited_for() -> None:
    def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        with_timeout(10, fails)
