"""Threads that the main thread looks after: the first failure stops the rest, and the watch goes on all the while."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import TypeVar

LOOK_EVERY_SECONDS = 1.0
STOP_SECONDS = 10.0
T = TypeVar("T")


def supervise(work: Sequence[Callable[[], T]], kill: Callable[[], None], watch: Callable[[], None]) -> list[T]:
    """The results of all, in order. `kill` ends them early; `watch` is called now and then and may raise.

    The threads are daemons: one that hangs in a write to a dead disk cannot keep the runner from saying so and ending.
    """
    futures = [_started(task) for task in work]
    try:
        while _unfinished(futures):
            watch()
    except BaseException:
        kill()
        wait(futures, STOP_SECONDS)
        raise
    return [future.result() for future in futures]


def _unfinished(futures: Sequence[Future[T]]) -> bool:
    """Waits a little. Raises the first failure."""
    done, waiting = wait(futures, LOOK_EVERY_SECONDS, FIRST_EXCEPTION)
    for future in done:
        future.result()
    return bool(waiting)


def _started(task: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the future is read
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


class Every:
    """Calls on at most once in so many seconds."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds, self._action = seconds, action
        self._next = time.monotonic() + seconds

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self._action()
            self._next = time.monotonic() + self._seconds
