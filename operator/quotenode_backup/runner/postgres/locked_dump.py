"""Starts pg_dump so that what it has locked is what its snapshot shows.

A snapshot is taken before pg_dump gets its locks. A table that is emptied, rewritten, swapped or dropped in between (by TRUNCATE, most forms of
ALTER TABLE, RENAME, DROP and CREATE) is then read through a snapshot that does not show its new rows: pg_dump would find it empty, and succeed.
So the definitions of tables, types and functions are compared, as the snapshot shows them and as they are once pg_dump has its locks. If one differs,
pg_dump is started again with a new snapshot. What pg_dump does not lock (the tables of extensions and the labels of enums) is compared once more at
the end.

To take the locks first and the snapshot afterwards would not work: a migration that comes between our lock and pg_dump's would make the two wait for
each other where no deadlock detector sees it, and the lock table has room for the locks of ten thousand tables only once.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres import facts
from quotenode_backup.runner.postgres.dump import Dump
from quotenode_backup.runner.postgres.facts import Facts
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import Definitions, Snapshot, SnapshotSession
from quotenode_backup.runner.process.threads import supervise

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
_TRANSIENT = {Reason.TABLE_LOCKED, Reason.DUMP_FAILED}
"""The reasons with which pg_dump fails when it cannot lock a table, because another session has locked or dropped it."""


class TransientFailure(Exception):
    """A failure that another try may not meet."""

    def __init__(self, failure: RunFailed) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to wait for other sessions, and what to watch meanwhile."""

    until: float
    """By the monotonic clock."""
    watch: Callable[[], None]

    @classmethod
    def half_of_the_time(cls, deadline: datetime, watch: Callable[[], None]) -> "Waiting":
        """The other half of the time until the deadline is for the work."""
        left = (deadline - datetime.now(UTC)).total_seconds()
        return cls(time.monotonic() + left / 2, watch)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until


@dataclass(frozen=True, slots=True)
class LockedDump:
    dump: Dump
    """A dump that holds its locks."""
    definitions: Definitions
    """What the dump relies on, as it was when pg_dump had got its locks."""
    facts: Facts


def start(session: SnapshotSession, dump_of: Callable[[Snapshot], Dump], waiting: Waiting) -> LockedDump:
    """A dump whose tables are those of its snapshot. Waits for sessions that prevent that."""
    for pause in _pauses():
        dump = dump_of(session.export())
        try:
            return _under_locks(session, dump, waiting.watch)
        except TransientFailure as transient:
            dump.end()
            if waiting.is_over:
                raise transient.failure from transient
            log.warning("Trying again with a new snapshot: %s", transient.failure.message)
        except BaseException:
            dump.end()
            raise
        threading.Event().wait(pause)
    raise AssertionError("there is always another try")


def require_unchanged(session: SnapshotSession, locked: LockedDump) -> None:
    """Once pg_dump has ended: fails if something has changed that pg_dump read without a lock."""
    unlocked = {key: definition for key, definition in locked.definitions.items() if definition.is_open}
    changed = _first_changed(unlocked, session.definitions(of_snapshot=False)) if unlocked else ""
    if changed:
        raise _rewritten(session.server, changed)


def _pauses() -> Iterator[float]:
    """Seconds. The first pauses are shorter than a migration, so that another try costs little. Each pause is longer than the one before."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _under_locks(session: SnapshotSession, dump: Dump, watch: Callable[[], None]) -> LockedDump:
    """The dump once pg_dump holds its locks, if the snapshot shows the same definitions. Raises TransientFailure where another try may help.

    The facts are read last of all in the snapshot, so that the time between the snapshot and the locks stays short.
    """
    try:
        before = session.definitions(of_snapshot=True)
        failure = _failure_before_locks(dump, watch)
        known = facts.read(session) if failure is None else None
        session.release()
        now = session.definitions(of_snapshot=False)
    except RunFailed as error:
        raise (TransientFailure(error) if error.reason is Reason.TABLE_LOCKED else error) from error
    if changed := _first_changed(before, now):
        raise TransientFailure(_rewritten(session.server, changed))
    if failure and failure.reason is Reason.TABLE_LOCKED:
        raise TransientFailure(session.with_blocker(failure))
    if failure:
        raise failure
    assert known, "the facts are read unless pg_dump has failed"
    return LockedDump(dump, now, known)


def _failure_before_locks(dump: Dump, watch: Callable[[], None]) -> RunFailed | None:
    try:
        dump.start()
        supervise([dump.wait_for_locks], kill=dump.kill, watch=watch)
    except RunFailed as failure:
        if failure.reason in _TRANSIENT:
            return failure
        raise
    return None


def _first_changed(before: Definitions, now: Definitions) -> str:
    """Something that has changed or disappeared since; empty if there is nothing. What is new is not in the snapshot, and does not matter."""
    return next((f"{key[0]} {one.name}" for key, one in before.items() if now.get(key) != one), "")


def _rewritten(server: Server, what: str) -> RunFailed:
    return RunFailed(
        Reason.TABLE_REWRITTEN,
        f"The {server.quote_name(what, 120)} was emptied, rewritten, renamed or dropped between the backup's snapshot and its locks, or while it was "
        "read without a lock, so the dump would not be what was in the database: let the migration, or whatever else does this, end first.",
    )
