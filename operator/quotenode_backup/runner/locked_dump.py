"""pg_dump at the moment when it holds its locks, with a snapshot that fits what it has locked.

A snapshot is older than the locks that follow it. A table that was emptied, rewritten, swapped or dropped in between (TRUNCATE, most
of ALTER TABLE, RENAME, DROP and CREATE) is then read through a snapshot that knows nothing of its new rows: pg_dump would find it empty and
call that a success. So all tables are looked at twice, with the snapshot and again under the locks, and whatever differs costs another try.
The other order, first locks and then the snapshot, is no way out: a migration that comes between our lock and pg_dump's makes the two wait
for each other where no deadlock detector sees it, and ten thousand tables fit the lock table only once.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from quotenode_backup.domain.errors import Reason, RunFailed
from quotenode_backup.runner.components import Dump
from quotenode_backup.runner.sessions import Snapshot, SnapshotSession, Tables
from quotenode_backup.runner.supervision import supervise
from quotenode_backup.runner.wording import shown

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
_MAY_PASS = {Reason.TABLE_LOCKED, Reason.DUMP_FAILED}
"""What pg_dump ends with when a table is locked, or not there any more, before it could lock it itself."""


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


def begin(session: SnapshotSession, dump_of: Callable[[Snapshot], Dump], waiting: Waiting) -> Dump:
    """A dump that holds its locks and whose tables are those of its snapshot. Whoever keeps it from that is waited for."""
    for pause in _pauses():
        dump = dump_of(session.export())
        try:
            obstacle = _obstacle(session, dump, waiting.watch)
        except BaseException:
            dump.end()
            raise
        if obstacle is None:
            return dump
        dump.end()
        if waiting.is_over:
            raise obstacle
        log.warning("Trying again with a new snapshot: %s", obstacle.message)
        threading.Event().wait(pause)
    raise AssertionError("there is always another try")


def _pauses() -> Iterator[float]:
    """Shorter than a migration, so that one more try costs little, and longer from try to try."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _obstacle(session: SnapshotSession, dump: Dump, watch: Callable[[], None]) -> RunFailed | None:
    """Why this try came to nothing. What no other try can cure is raised."""
    before = session.tables()
    failure = _failure_before_locks(dump, watch)
    session.let_go()
    changed = _first_changed(before, session.tables())
    if changed:
        return _rewritten(changed)
    if failure and failure.reason is Reason.TABLE_LOCKED:
        return session.with_blocker(failure)
    if failure:
        raise failure
    return None


def _failure_before_locks(dump: Dump, watch: Callable[[], None]) -> RunFailed | None:
    try:
        dump.start()
        supervise([dump.wait_for_locks], kill=dump.kill, watch=watch)
    except RunFailed as failure:
        if failure.reason in _MAY_PASS:
            return failure
        raise
    return None


def _first_changed(before: Tables, now: Tables) -> str:
    """The name of a table that the snapshot sees and that is another by now; empty when there is none. New ones are not in the snapshot."""
    return next((table.name for oid, table in before.items() if now.get(oid) != table), "")


def _rewritten(table: str) -> RunFailed:
    return RunFailed(
        Reason.TABLE_REWRITTEN,
        f"Table {shown(table, 120)} was emptied, rewritten, renamed or dropped each time between the backup's snapshot and its locks: a dump "
        "would lack its rows. Let the migration, or whatever does this again and again, end first.",
    )
