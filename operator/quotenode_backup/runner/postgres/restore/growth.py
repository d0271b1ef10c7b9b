"""How much a load has taken of the server's volume so far. It is measured over a connection that was opened before, since a full server opens none."""

import logging
import time
from collections.abc import Callable

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_room import Load, Room, Volume, Wal, room
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.postgres.sessions import Session

log = logging.getLogger(__name__)

EVERY_SECONDS = 2.0
_MEGABYTE = 1 << 20


def wal(session: Session) -> Wal:
    """What the server says about its WAL."""
    size, is_archiver_failing, is_slot_lagging = session.rows(_WAL)[0]
    return Wal(size * _MEGABYTE, is_archiver_failing or is_slot_lagging)


def room_for(session: Session, load: Load, volume: Volume) -> Room:
    return room(load, wal(session), volume)


class GrowthWatch:
    """`check` raises once a load has taken more than its budget. The load must then be killed and its database dropped at once."""

    def __init__(
        self, session: Session, oid: int, budget_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session, self._oid, self._budget, self._clock = session, oid, budget_bytes, clock
        self._can_list = bool(session.value("SELECT pg_has_role('pg_monitor', 'USAGE')"))
        self._wal_before = self._wal()
        self._next = clock()
        self.taken_bytes = 0

    def check(self) -> None:
        if self._clock() < self._next:
            return
        self._next = self._clock() + EVERY_SECONDS
        size = self._session.value(
            "SELECT coalesce(pg_database_size((SELECT oid FROM pg_database WHERE oid = %(oid)s)), 0)", oid=self._oid
        )
        self.taken_bytes = int(size) + max(0, self._wal() - self._wal_before)
        if self.taken_bytes > self._budget:
            raise self._over()

    def _wal(self) -> int:
        """The bytes of WAL on the disk. A role that may not see the files knows only how much was ever written."""
        return int(self._session.value(_WAL_FILES if self._can_list else _WAL_WRITTEN))

    def _over(self) -> RunFailed:
        return RunFailed(
            Reason.NO_SPACE,
            f"The load took {readable_size(self.taken_bytes)} on the server at {self._session.server.address}, more than the "
            f"{readable_size(self._budget)} that its volume can spare: it was ended, and the copy is dropped. Enlarge the volume.",
        )


_WAL = """
    SELECT (SELECT setting::bigint FROM pg_settings WHERE name = 'max_wal_size'),
           coalesce((SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver), false)
               AND current_setting('archive_mode') <> 'off',
           EXISTS (SELECT FROM pg_replication_slots s
                   WHERE NOT s.active OR pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)
                         > (SELECT setting::bigint << 20 FROM pg_settings WHERE name = 'max_wal_size'))
"""
_WAL_FILES = "SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()"
_WAL_WRITTEN = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
