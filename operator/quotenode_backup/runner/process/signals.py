"""SIGTERM and the deadline end a run by an exception in the main thread: once, and never during the commit.

The handler takes itself off before it raises, so that nothing interrupts the clean-up. `except Exception` does not catch the exception, since
it may be raised inside a library that swallows what it catches. Where Python itself swallows exceptions, as in a finaliser, the exception is
lost until `require_none` raises it again.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType

from quotenode_backup.domain.reasons import Reason, RunFailed

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """The run must end now. `failure` says why."""

    def __init__(self, failure: RunFailed) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How a command says that it had to end too early."""

    before: str
    """What had not happened yet, and what that means: it follows "before"."""
    remedy: str
    """What helps when it was the deadline."""


class Signals:
    """How this process takes its signals. Handlers belong to the whole process, so only one object of this class may be in use."""

    def __init__(self, unfinished: Unfinished) -> None:
        self.unfinished = unfinished
        """May be changed as the command goes on."""
        self._interruption: Interrupted | None = None
        self._is_stop_requested = False

    def listen(self) -> None:
        """From here on the run ends when the pod is told to stop."""
        for number in _STOPPING:
            self._raise_on(number, self._stopped)

    def stop_at(self, deadline: datetime) -> None:
        left = (deadline - datetime.now(UTC)).total_seconds()
        if left <= 0:
            raise self._too_late()
        self._raise_on(signal.SIGALRM, self._too_late)
        signal.setitimer(signal.ITIMER_REAL, left)

    def block(self) -> None:
        """From here on nothing interrupts: the bundle is about to get its name, or the end is already being reported.

        A signal to stop is only noted, so that what comes after the commit can be quick.
        """
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        for number in _STOPPING:
            signal.signal(number, self._note)

    @property
    def is_stop_requested(self) -> bool:
        """Whether there was a signal to stop since `block`."""
        return self._is_stop_requested

    def require_none(self) -> None:
        """Raises an interruption again that was raised before and got lost."""
        if self._interruption:
            raise self._interruption

    def _raise_on(self, number: signal.Signals, failure: Callable[[], RunFailed]) -> None:
        def handler(_number: int, _frame: FrameType | None) -> None:
            self.block()
            self._interruption = Interrupted(failure())
            raise self._interruption

        signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stop_requested = True

    def _stopped(self) -> RunFailed:
        return RunFailed(
            Reason.INTERRUPTED,
            f"The pod was told to stop (deleted, evicted or drained) before {self.unfinished.before}.",
        )

    def _too_late(self) -> RunFailed:
        return RunFailed(
            Reason.DEADLINE_EXCEEDED,
            f"The deadline passed before {self.unfinished.before}: {self.unfinished.remedy}.",
        )
