"""A point at which the operator kills itself, for the tests that do this before and after every write."""

import logging
import os
import signal

logger = logging.getLogger(__name__)


class CrashPoint:
    """Kills this process (SIGKILL) before or after one of its writes. Empty: never.

    `after:7` means the seventh write. In `after:5.2` a write that repeats the one before it, with the same method and
    path, does not count as one more: it is the second of its kind in fifth place. So these numbers stay the same
    however often the operator reports that something still goes on. Every write is logged with both numbers, so that
    a test can tell when the list of writes has changed.
    """

    def __init__(self, where: str = "") -> None:
        self._side, _, self._number = where.partition(":")
        self._count = self._place = self._repeat = 0
        self._last = ""

    def before(self, method: str, path: str) -> tuple[str, str]:
        """The two numbers of the write. Several can be under way at a time."""
        write = f"{method} {path}"
        self._count += 1
        self._place, self._repeat = (self._place, self._repeat + 1) if write == self._last else (self._place + 1, 1)
        self._last = write
        numbers = (str(self._count), f"{self._place}.{self._repeat}")
        logger.debug("Write %s (%s): %s", *numbers, write)
        self._die_at("before", numbers)
        return numbers

    def after(self, numbers: tuple[str, str]) -> None:
        self._die_at("after", numbers)

    def _die_at(self, side: str, numbers: tuple[str, str]) -> None:
        if self._side == side and self._number in numbers:
            logger.warning("Crash point: killed %s write %s", side, self._number)
            os.kill(os.getpid(), signal.SIGKILL)
