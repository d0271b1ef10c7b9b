"""pg_dump at the moment when it holds its locks, with a snapshot that fits what it has locked.

A snapshot is older than the locks that follow it. A table that was emptied, rewritten, swapped or dropped in between (TRUNCATE, most
of ALTER TABLE, RENAME, DROP and CREATE) is then read through a snapshot that knows nothing of its new rows: pg_dump would find it empty and
call that a success. So tables, types and functions are looked at twice, with the snapshot and again under the locks, and whatever differs costs
another try. What pg_dump does not lock, the tables of extensions and the labels of enums, is looked at once more at the end.
The other order, first locks and then the snapshot, is no way out: a migration that comes between our lock and pg_dump's makes the two wait
for each other where no deadlock detector sees it, and ten thousand tables fit the lock table only once.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.dump import Dump
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import Definitions, Snapshot, SnapshotSession
from quotenode_backup.runner.process.threads import supervise

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
_MAY_PASS = {Reason.TABLE_LOCKED, Reason.DUMP_FAILED}
"""What pg_dump ends with when a table is locked, or not there any more, before it could lock it itself."""


class Obstacle(Exception):
    """What another try may not meet."""

    def __init__(self, failure: RunFailed) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long is worth waiting for others, and what goes on meanwhile."""

    until: float
    """By the monotonic clock."""
    watch: Callable[[], None]

    @classmethod
    def half_of_the_time(cls, deadline: datetime, watch: Callable[[], None]) -> "Waiting":
        """The other half is for the work."""
        left = (deadline - datetime.now(UTC)).total_seconds()
        return cls(time.monotonic() + left / 2, watch)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until


@dataclass(frozen=True, slots=True)
class Begun:
    """A dump that holds its locks, and what it found when it got them."""

    dump: Dump
    found: Definitions


def begin(session: SnapshotSession, dump_of: Callable[[Snapshot], Dump], waiting: Waiting) -> Begun:
    """A dump whose tables are those of its snapshot. Whoever keeps it from that is waited for."""
    for pause in _pauses():
        dump = dump_of(session.export())
        try:
            return Begun(dump, _found_under_locks(session, dump, waiting.watch))
        except Obstacle as obstacle:
            dump.end()
            if waiting.is_over:
                raise obstacle.failure from obstacle
            log.warning("Trying again with a new snapshot: %s", obstacle.failure.message)
        except BaseException:
            dump.end()
            raise
        threading.Event().wait(pause)
    raise AssertionError("there is always another try")


def require_unchanged(session: SnapshotSession, begun: Begun) -> None:
    """Of what pg_dump read without a lock, now that it has ended."""
    unlocked = {key: definition for key, definition in begun.found.items() if definition.is_open}
    changed = _first_changed(unlocked, session.definitions(of_snapshot=False)) if unlocked else ""
    if changed:
        raise _rewritten(session.server, changed)


def _pauses() -> Iterator[float]:
    """Shorter than a migration, so that one more try costs little, and longer from try to try."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _found_under_locks(session: SnapshotSession, dump: Dump, watch: Callable[[], None]) -> Definitions:
    """What there is once pg_dump holds its locks, if the snapshot has the same. What no other try can cure is raised as it is."""
    try:
        before = session.definitions(of_snapshot=True)
        failure = _failure_before_locks(dump, watch)
        session.let_go()
        now = session.definitions(of_snapshot=False)
    except RunFailed as error:
        raise (Obstacle(error) if error.reason is Reason.TABLE_LOCKED else error) from error
    if changed := _first_changed(before, now):
        raise Obstacle(_rewritten(session.server, changed))
    if failure and failure.reason is Reason.TABLE_LOCKED:
        raise Obstacle(session.with_blocker(failure))
    if failure:
        raise failure
    return now


def _failure_before_locks(dump: Dump, watch: Callable[[], None]) -> RunFailed | None:
    try:
        dump.start()
        supervise([dump.wait_for_locks], kill=dump.kill, watch=watch)
    except RunFailed as failure:
        if failure.reason in _MAY_PASS:
            return failure
        raise
    return None


def _first_changed(before: Definitions, now: Definitions) -> str:
    """What the snapshot sees and is another by now; empty when there is nothing. What is new is not in the snapshot."""
    return next((f"{key[0]} {one.name}" for key, one in before.items() if now.get(key) != one), "")


def _rewritten(server: Server, what: str) -> RunFailed:
    return RunFailed(
        Reason.TABLE_REWRITTEN,
        f"The {server.named(what, 120)} was emptied, rewritten, renamed or dropped between the backup's snapshot and its locks, or while it was "
        "read without one: the dump would not be what was in the database. Let the migration, or whatever does this, end first.",
    )
