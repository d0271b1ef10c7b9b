"""When a run must end, and how long it waits before it tries again."""

from datetime import datetime, timedelta

MARGIN = timedelta(seconds=60)
"""The runner ends itself this long before the Job's deadline, at which the pod is deleted with whatever it reports."""
NODE_GRACE = timedelta(minutes=5)
"""How long after the deadline a pod may still not have been seen to end before its node counts as unreachable."""
STUCK_AFTER = timedelta(seconds=90)
"""How long a cause that waiting can't cure may last, so that a run fails within two minutes."""
QUIET_PERIOD = timedelta(seconds=5)
"""How long a Job's pod may take to start before the status says why it does not."""
FOLLOWUP_TIME = timedelta(seconds=90)
"""How long a Job that writes a row or removes a bundle may take."""
FOLLOWUP_BACKSTOP = timedelta(seconds=30)
"""How long after the runner's deadline the Job's own deadline ends the pod."""
SLOW_DISK = 20_000_000
"""Bytes per second that any disk is expected to deliver at least when a whole bundle is read."""
SWAP_BEGINS_WITHIN = timedelta(minutes=5)
"""How long the pod of a swap may take to begin. After that it changes nothing any more, so that the application can be started again."""
FIRST_FOLLOWUP_RETRY = timedelta(minutes=1)
LONGEST_FOLLOWUP_RETRY = timedelta(hours=1)
FIRST_RETRY = timedelta(seconds=5)
OFFLINE_BUSY_RETRY = timedelta(minutes=5)
"""Longer than BUSY_RETRY, since each attempt of an offline run stops the application."""
BUSY_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(minutes=1)


def deadline(start: datetime, active_seconds: int) -> datetime:
    """When the Job must have ended."""
    return start + timedelta(seconds=active_seconds)


def runner_deadline(start: datetime, active_seconds: int) -> datetime:
    """When the runner must have ended and cleaned up: MARGIN earlier, or a quarter of the time if that is less."""
    return deadline(start, active_seconds) - min(MARGIN, timedelta(seconds=active_seconds) / 4)


def retry_delay(failures: int) -> timedelta:
    """The pause after so many failures. Attempts that found the lock busy don't count."""
    doublings = min(max(0, failures - 1), 10)
    return min(FIRST_RETRY * (1 << doublings), LONGEST_RETRY)


def busy_delay(attempt: int, *, offline: bool) -> timedelta:
    """The pause after an attempt that found the database locked by a run of another namespace."""
    return (
        min(OFFLINE_BUSY_RETRY * attempt, LONGEST_FOLLOWUP_RETRY)
        if offline
        else min(BUSY_RETRY * attempt, LONGEST_RETRY)
    )


def followup_delay(number: int) -> timedelta:
    """The pause after so many Jobs have failed to write a row, or to remove or find a bundle."""
    doublings = min(max(0, number - 1), 10)
    return min(FIRST_FOLLOWUP_RETRY * (1 << doublings), LONGEST_FOLLOWUP_RETRY)


def search_time(size: int) -> timedelta:
    """How long a Job may take that reads a whole bundle of `size` bytes."""
    return FOLLOWUP_TIME + timedelta(seconds=size // SLOW_DISK)
