"""SIGTERM and the deadline end a run by an exception in the main thread, once, and never inside the commit.

The handler takes itself off before it raises, so that what cleans up is not interrupted in its turn. The exception is none that
`except Exception` catches, since it may rise inside a library that swallows those; and should it be lost all the same (inside a
finaliser Python prints exceptions and goes on), `require_none` raises it again.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType

from quotenode_backup.domain.reasons import Reason, RunFailed

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
_told: "list[Interrupted]" = []
_noted: list[int] = []


class Interrupted(BaseException):
    """The run is to end now. `failure` says why."""

    def __init__(self, failure: RunFailed) -> None:
        super().__init__(failure.message)
        self.failure = failure


def shield() -> None:
    """From here on nothing interrupts: the bundle is about to get its name, or the end is already being reported."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def only_note() -> None:
    """From here on, being told to stop is no more than a hint to be quick: what matters is done."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda told, _frame: _noted.append(told))


def is_noted() -> bool:
    return bool(_noted)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How a program says that it had to end too early."""

    before: str
    """What was not yet so, and what that means."""
    remedy: str
    """What helps when it was the deadline."""


A_BACKUP = Unfinished(
    "the bundle was complete, and nothing was kept of it",
    "raise spec.activeDeadlineSeconds, or find out what is slow in the log of the pod",
)


def listen(unfinished: Unfinished = A_BACKUP) -> None:
    """End the run when the pod is told to stop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        _raise_on(number, lambda: _stopped(unfinished))


def stop_at(deadline: datetime, unfinished: Unfinished = A_BACKUP) -> None:
    left = (deadline - datetime.now(UTC)).total_seconds()
    if left <= 0:
        raise _too_late(unfinished)
    _raise_on(signal.SIGALRM, lambda: _too_late(unfinished))
    signal.setitimer(signal.ITIMER_REAL, left)


def require_none() -> None:
    """Raises what was raised before, and got lost."""
    for told in _told:
        raise told


def _raise_on(number: signal.Signals, failure: Callable[[], RunFailed]) -> None:
    def handler(_number: int, _frame: FrameType | None) -> None:
        shield()
        _told.append(Interrupted(failure()))
        raise _told[0]

    signal.signal(number, handler)


def _stopped(unfinished: Unfinished) -> RunFailed:
    return RunFailed(
        Reason.INTERRUPTED, f"The pod was told to stop (deleted, evicted or drained) before {unfinished.before}."
    )


def _too_late(unfinished: Unfinished) -> RunFailed:
    return RunFailed(Reason.DEADLINE_EXCEEDED, f"The deadline passed before {unfinished.before}: {unfinished.remedy}.")
