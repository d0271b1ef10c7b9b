"""A point at which the operator kills itself, for the tests that do this before and after every write."""

import logging
import os
import signal

logger = logging.getLogger(__name__)


class CrashPoint:
    """Kills this process (SIGKILL) before or after its n-th write: `before:3`, `after:3`. Empty: never.

    Every write is logged with its number, so that a test can tell when the list of writes has changed.
    """

    def __init__(self, where: str = "") -> None:
        side, _, number = where.partition(":")
        self._side, self._number = side, int(number or 0)
        self._count = 0

    def before(self, method: str, path: str) -> int:
        """The number of the write. Several can be under way at a time."""
        self._count += 1
        logger.debug("Write %d: %s %s", self._count, method, path)
        self._die_at("before", self._count)
        return self._count

    def after(self, number: int) -> None:
        self._die_at("after", number)

    def _die_at(self, side: str, number: int) -> None:
        if self._side == side and number == self._number:
            logger.warning("Crash point: killed %s write %d", side, number)
            os.kill(os.getpid(), signal.SIGKILL)
