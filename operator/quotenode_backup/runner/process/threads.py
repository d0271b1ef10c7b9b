"""Threads that the main thread supervises: the first failure stops the others, and the main thread keeps watching all the while."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

POLL_SECONDS = 1.0
STOP_SECONDS = 10.0
T = TypeVar("T")
Finished = queue.SimpleQueue[Future[T]]
"""This queue is written in C: an exception out of a signal handler leaves no lock of it held, which waiting for futures does not guarantee."""


def supervise(work: Sequence[Callable[[], T]], kill: Callable[[], None], watch: Callable[[], None]) -> list[T]:
    """The results of all work, in its order. `kill` must end the work early. `watch` is called about once a second, and may raise.

    The threads are daemons, so a thread that hangs in a write to a dead disk cannot keep the runner from reporting that and ending.
    """
    finished: Finished[T] = queue.SimpleQueue()
    futures = [_started(task, finished) for task in work]
    running = set(futures)
    try:
        while running:
            _take_one(running, finished, POLL_SECONDS)
            watch()
    except BaseException:
        kill()
        _wait_for_all(running, finished)
        raise
    return [future.result() for future in futures]


def _started(task: Callable[[], T], finished: Finished[T]) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the future is read
            future.set_exception(error)
        finished.put(future)

    threading.Thread(target=run, daemon=True).start()
    return future


def _take_one(running: set[Future[T]], finished: Finished[T], seconds: float) -> None:
    """Waits for a thread to finish. Raises what that thread raised."""
    try:
        future = finished.get(timeout=seconds)
    except queue.Empty:
        return
    running.discard(future)
    future.result()


def _wait_for_all(running: set[Future[T]], finished: Finished[T]) -> None:
    """What the threads raise now only follows from being killed, and is dropped."""
    end = time.monotonic() + STOP_SECONDS
    while running and (left := end - time.monotonic()) > 0:
        try:
            running.discard(finished.get(timeout=left))
        except queue.Empty:
            return


def with_timeout(seconds: float, task: Callable[[], T]) -> T:
    """The result of a task. Raises TimeoutError when the task takes longer, which then goes on in its thread until the program ends."""
    finished: Finished[T] = queue.SimpleQueue()
    _started(task, finished)
    try:
        return finished.get(timeout=seconds).result()
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None


class Throttled:
    """Calls `action` at most once in so many seconds, and for the first time after as many."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds, self._action = seconds, action
        self._next = time.monotonic() + seconds

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self._action()
            self._next = time.monotonic() + self._seconds


def pause(seconds: float) -> None:
    """Waits. A signal handler that raises ends it."""
    threading.Event().wait(seconds)
