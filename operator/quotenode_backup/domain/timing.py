"""When a run must end, and how long it waits before it tries again."""

from datetime import datetime, timedelta

MARGIN = timedelta(seconds=60)
"""The runner ends itself this long before the Job's deadline, which kills without a word."""
NODE_GRACE = timedelta(minutes=5)
"""How long after the deadline a pod may be unaccounted for before its node is given up."""
STUCK_AFTER = timedelta(seconds=90)
"""How long a cause that waiting can't cure may last: the sentence is there within two minutes."""
QUIET_PERIOD = timedelta(seconds=5)
"""How long a Job's pod may take to come up before anybody asks why."""
FOLLOWUP_TIME = timedelta(seconds=90)
"""How long a Job that writes a row or removes a bundle may take."""
FOLLOWUP_BACKSTOP = timedelta(seconds=30)
"""After that the Job's own deadline ends it."""
SLOW_DISK = 20_000_000
"""Bytes that are read in a second at least, where a whole bundle has to be read."""
FIRST_FOLLOWUP_RETRY = timedelta(minutes=1)
LONGEST_FOLLOWUP_RETRY = timedelta(hours=1)
FIRST_RETRY = timedelta(seconds=5)
OFFLINE_BUSY_RETRY = timedelta(minutes=5)
"""An application is not stopped and started again each minute."""
BUSY_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(minutes=1)


def deadline(start: datetime, active_seconds: int) -> datetime:
    """When the Job must have ended."""
    return start + timedelta(seconds=active_seconds)


def runner_deadline(start: datetime, active_seconds: int) -> datetime:
    """When the runner must have ended and cleaned up: a quarter earlier for the very short, else a minute."""
    return deadline(start, active_seconds) - min(MARGIN, timedelta(seconds=active_seconds) / 4)


def retry_delay(failures: int) -> timedelta:
    """The pause after the n-th failure that counts."""
    doublings = min(max(0, failures - 1), 10)
    return min(FIRST_RETRY * (1 << doublings), LONGEST_RETRY)


def busy_delay(attempt: int, *, offline: bool) -> timedelta:
    """The pause after the database's lock was held by a run that this namespace can't see."""
    return (
        min(OFFLINE_BUSY_RETRY * attempt, LONGEST_FOLLOWUP_RETRY)
        if offline
        else min(BUSY_RETRY * attempt, LONGEST_RETRY)
    )


def followup_delay(number: int) -> timedelta:
    """The pause after the n-th Job that could not write its row or remove its bundle."""
    doublings = min(max(0, number - 1), 10)
    return min(FIRST_FOLLOWUP_RETRY * (1 << doublings), LONGEST_FOLLOWUP_RETRY)


def search_time(size: int) -> timedelta:
    """How long a Job may take that reads a bundle of so many bytes to its end."""
    return FOLLOWUP_TIME + timedelta(seconds=size // SLOW_DISK)
