"""Threads that the main thread looks after: the first failure stops the rest, and the watch goes on all the while."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

LOOK_EVERY_SECONDS = 1.0
STOP_SECONDS = 10.0
T = TypeVar("T")
Ended = queue.SimpleQueue[Future[T]]
"""A queue in C: an exception out of a signal handler leaves it with no lock held, which a wait for futures does not promise."""


def supervise(work: Sequence[Callable[[], T]], kill: Callable[[], None], watch: Callable[[], None]) -> list[T]:
    """The results of all, in order. `kill` ends them early; `watch` is called now and then and may raise.

    The threads are daemons: one that hangs in a write to a dead disk cannot keep the runner from saying so and ending.
    """
    ended: Ended[T] = queue.SimpleQueue()
    futures = [_started(task, ended) for task in work]
    running = set(futures)
    try:
        while running:
            _take_one(running, ended, LOOK_EVERY_SECONDS)
            watch()
    except BaseException:
        kill()
        _let_end(running, ended)
        raise
    return [future.result() for future in futures]


def _started(task: Callable[[], T], ended: Ended[T]) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the future is read
            future.set_exception(error)
        ended.put(future)

    threading.Thread(target=run, daemon=True).start()
    return future


def _take_one(running: set[Future[T]], ended: Ended[T], seconds: float) -> None:
    """Waits for one to end. Raises what it raised."""
    try:
        future = ended.get(timeout=seconds)
    except queue.Empty:
        return
    running.discard(future)
    future.result()


def _let_end(running: set[Future[T]], ended: Ended[T]) -> None:
    """What they raise now is only the echo of what ended them."""
    end = time.monotonic() + STOP_SECONDS
    while running and (left := end - time.monotonic()) > 0:
        try:
            running.discard(ended.get(timeout=left))
        except queue.Empty:
            return


def within(seconds: float, task: Callable[[], T]) -> T:
    """The result of a task that is not waited for any longer. It goes on in its thread, and ends with the program."""
    ended: Ended[T] = queue.SimpleQueue()
    _started(task, ended)
    try:
        return ended.get(timeout=seconds).result()
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None


class Every:
    """Calls on at most once in so many seconds."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds, self._action = seconds, action
        self._next = time.monotonic() + seconds

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self._action()
            self._next = time.monotonic() + self._seconds
