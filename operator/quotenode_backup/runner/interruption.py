"""SIGTERM and the deadline end a run by an exception in the main thread, once, and never inside the commit.

The handler takes itself off before it raises, so that what cleans up is not interrupted in its turn. The exception is none that
`except Exception` catches, since it may rise inside a library that swallows those; and should it be lost all the same (inside a
finaliser Python prints exceptions and goes on), `require_none` raises it again.
"""

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType

from quotenode_backup.domain.errors import Reason, RunFailed

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
_told: "list[Interrupted]" = []


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


def listen() -> None:
    """End the run when the pod is told to stop."""
    _raise_on(signal.SIGTERM, _stopped)
    _raise_on(signal.SIGINT, _stopped)


def stop_at(deadline: datetime) -> None:
    left = (deadline - datetime.now(UTC)).total_seconds()
    if left <= 0:
        raise _too_late()
    _raise_on(signal.SIGALRM, _too_late)
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


def _stopped() -> RunFailed:
    return RunFailed(
        Reason.INTERRUPTED,
        "The pod was told to stop (deleted, evicted or drained) before the bundle was complete: nothing was kept of "
        "this attempt.",
    )


def _too_late() -> RunFailed:
    return RunFailed(
        Reason.DEADLINE_EXCEEDED,
        "The deadline passed before the bundle was complete, and nothing was kept of it: "
        "raise spec.activeDeadlineSeconds, or find out what is slow in the log of the pod.",
    )
