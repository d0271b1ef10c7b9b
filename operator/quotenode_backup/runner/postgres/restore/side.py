"""Which database has the live name. pg_database alone decides whether a swap has happened."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import MAINTENANCE, Session
from quotenode_backup.runner.process.threads import pause

LEAVE_SECONDS = 10.0


class Side(StrEnum):
    NEW = "New"
    """The loaded database has the live name: what is left of the swap must be finished."""
    OLD = "Old"
    """The database from before has the live name: whatever else was swapped must be undone."""
    UNKNOWN = "Unknown"
    """The server does not answer, or a swap is still open there, or neither of the two has the name. Nothing may be started."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The two databases of a swap, by what a rename does not change."""

    live: str
    """The name that one of them has."""
    old_oid: int
    new_oid: int
    system_identifier: int
    """Of the server: another one with databases of these names decides nothing."""

    @property
    def oids(self) -> list[int]:
        return [self.old_oid, self.new_oid]


def side(server: Server, sides: Sides) -> Side:
    try:
        with Session(server, MAINTENANCE) as session:
            return read_side(session, sides)
    except RunFailed:
        return Side.UNKNOWN


def read_side(session: Session, sides: Sides) -> Side:
    """The locks first, by a statement of their own: a swap lets them go only once everybody can see what it did."""
    if not session.value(_IS_THE_PRIMARY, identifier=sides.system_identifier) or holders(session, sides.oids):
        return Side.UNKNOWN
    found = session.rows("SELECT oid::bigint FROM pg_database WHERE datname = %(live)s", live=sides.live)
    return {sides.new_oid: Side.NEW, sides.old_oid: Side.OLD}.get(found[0][0] if found else 0, Side.UNKNOWN)


def holders(session: Session, oids: Collection[int]) -> list[int]:
    """The sessions in which a rename of these databases is open."""
    return [pid for (pid,) in session.rows(_HOLDERS, oids=list(oids))]


def end_open_swap(session: Session, sides: Sides) -> bool:
    """Ends what a runner that is dead has left open on the server, which would keep everybody out of the database until the network gives up.

    Whether it is gone. The caller holds the lock of the database, so no runner that lives has a swap open. Ending a session during its COMMIT does
    not undo the COMMIT, so which side it is must be read afterwards.
    """
    end = time.monotonic() + LEAVE_SECONDS
    while pids := holders(session, sides.oids):
        if time.monotonic() > end:
            return False
        for pid in pids:
            session.value("SELECT pg_terminate_backend(%(pid)s)", pid=pid)
        pause(0.05)
    return True


_IS_THE_PRIMARY = """
    SELECT NOT pg_is_in_recovery() AND (SELECT system_identifier FROM pg_control_system()) = %(identifier)s
"""
_HOLDERS = """
    SELECT DISTINCT l.pid FROM pg_locks l
    WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND l.objid = ANY(%(oids)s::oid[])
      AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid IS NOT NULL
"""
