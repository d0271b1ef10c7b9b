"""The swap of two databases' names, in one transaction that stays open while files are swapped.

Everything that can be refused is refused before the files are touched. As long as the transaction is open, whatever happens to this process or to the
server leaves the old database with its name.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_names import kept_name
from quotenode_backup.runner.postgres.restore import databases, properties
from quotenode_backup.runner.postgres.restore.blockers import obstacles
from quotenode_backup.runner.postgres.restore.databases import Database
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.restore.marker import Marker
from quotenode_backup.runner.postgres.restore.scratch import superseded
from quotenode_backup.runner.postgres.restore.side import Side, Sides, side
from quotenode_backup.runner.postgres.restore.statements import StatementSession, name, sqlstate, text
from quotenode_backup.runner.postgres.restore.terminator import Terminator
from quotenode_backup.runner.postgres.sessions import MAINTENANCE
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.process.threads import pause, with_timeout

log = logging.getLogger(__name__)

LOCK_SECONDS = 5
STATEMENT_SECONDS = 20
"""PostgreSQL itself waits five seconds for the sessions of a database to leave before it refuses to rename it."""
OPEN_SECONDS = 120
"""How long the transaction may be idle. A runner that hangs must not keep everybody out of the database: the server then undoes the swap."""
COMMIT_SECONDS = 60.0
LOOK_SECONDS, LOOKS = 1.0, 30


@dataclass(frozen=True, slots=True)
class SwapPlan:
    sides: Sides
    incoming: str
    """The name of the database that becomes the live one: the scratch database, or for an undo the one that was kept."""
    outgoing: str
    """The name that the live database gets."""
    outgoing_marker: Marker
    comment: str | None
    """The comment of the live database from now on."""
    copies_properties: bool
    """Not for an undo: the database that was kept has its own."""
    attempt: int


def plan_swap(live: Database, scratch: Database | None, system_identifier: int, marker: Marker) -> SwapPlan:
    """Puts the scratch database in the place of the live one. `marker`: of this restore and this attempt, with the expiry of what is kept."""
    loaded = scratch.marker if scratch else None
    if scratch is None or loaded is None or loaded.state != "Complete" or loaded.oid != scratch.oid:
        raise not_loaded("there is no complete copy beside the live database")
    if (loaded.restore_uid, loaded.bundle_sha256) != (marker.restore_uid, marker.bundle_sha256):
        raise not_loaded("the copy beside the live database is of another restore or bundle")
    kept = marker.model_copy(update={"state": "Kept", "oid": scratch.oid, "comment": live.comment})
    sides = Sides(live.name, live.oid, scratch.oid, system_identifier)
    outgoing = kept_name(live.name, marker.restore_uid)
    return SwapPlan(sides, scratch.name, outgoing, kept, live.comment, copies_properties=True, attempt=marker.attempt)


def plan_undo(live: Database, kept: Database, system_identifier: int, marker: Marker) -> SwapPlan:
    """Puts the database that an earlier restore replaced back in its place."""
    before = kept.marker
    if before is None or before.state != "Kept" or before.database != live.name:
        raise not_loaded(f"database {escape(kept.name, 80)} was not kept by a restore of this database")
    replaced = marker.model_copy(update={"state": "Kept", "oid": kept.oid, "comment": live.comment})
    sides = Sides(live.name, live.oid, kept.oid, system_identifier)
    outgoing = kept_name(live.name, marker.restore_uid)
    return SwapPlan(
        sides, kept.name, outgoing, replaced, before.comment, copies_properties=False, attempt=marker.attempt
    )


def not_loaded(why: str) -> RunFailed:
    return RunFailed(Reason.NOT_LOADED, f"Nothing was swapped, since {why}: the next attempt loads it again.")


class OpenSwap:
    """Both databases have their new names in a transaction that nobody else sees."""

    def __init__(self, session: StatementSession, identities: Identities, plan: SwapPlan) -> None:
        self._session, self._identities, self._plan = session, identities, plan
        self._hangs = False

    @property
    def sides(self) -> Sides:
        return self._plan.sides

    def check(self) -> None:
        """Raises if the transaction is lost."""
        self._session.check()

    def commit(self) -> Side:
        """Which side it is then. Only for `Side.UNKNOWN` nobody can tell yet."""
        try:
            tag = with_timeout(COMMIT_SECONDS, lambda: self._session.do("COMMIT"))
            log.info("The server answered %s", tag)
        except TimeoutError:
            self._hangs = True
            log.error("The server has not answered to COMMIT within %g s", COMMIT_SECONDS)
            return Side.UNKNOWN
        except RunFailed as failure:
            log.error("%s", failure.message)
        return self._looked_up()

    def close(self) -> None:
        """The server undoes what is not committed, also if it does not answer now. A session in which COMMIT hangs is left to its thread."""
        if not self._hangs:
            self._session.close()

    def _looked_up(self) -> Side:
        """PostgreSQL answers ROLLBACK without an error to the COMMIT of a transaction that had failed, so only pg_database is believed."""
        for _ in range(LOOKS):
            found = side(self._identities.privileged, self._plan.sides)
            if found is not Side.UNKNOWN:
                return found
            pause(LOOK_SECONDS)
        return Side.UNKNOWN


@contextmanager
def open_swap(identities: Identities, plan: SwapPlan, *, allow_replication_loss: bool = False) -> Iterator[OpenSwap]:
    """The swap, open. Unless it is committed inside of the context, nothing has changed after it. The caller holds the database's lock."""
    session = StatementSession(identities.privileged, MAINTENANCE)
    swap = OpenSwap(session, identities, plan)
    try:
        if found := obstacles(session, identities, plan.sides.oids, allow_replication_loss=allow_replication_loss):
            raise found[0]
        _require_free(session, plan)
        _begin(session, identities, plan)
        yield swap
    finally:
        swap.close()


def _require_free(session: StatementSession, plan: SwapPlan) -> None:
    if databases.find(session, plan.outgoing):
        raise RunFailed(
            Reason.DATABASE_IN_THE_WAY,
            f"There is already a database {escape(plan.outgoing, 80)} on {session.server.address}, as which the live one would be kept: rename or "
            "drop that one.",
        )


def _begin(session: StatementSession, identities: Identities, plan: SwapPlan) -> None:
    session.do("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    for setting, seconds in (
        ("lock_timeout", LOCK_SECONDS),
        ("statement_timeout", STATEMENT_SECONDS),
        ("idle_in_transaction_session_timeout", OPEN_SECONDS),
    ):
        session.value("SELECT set_config(%(setting)s, %(value)s, true)", setting=setting, value=f"{seconds}s")
    with Terminator(identities.privileged, plan.sides.oids):
        _rename(session, identities, plan.sides.live, plan.outgoing)
        _rename(session, identities, plan.incoming, plan.sides.live)
    _require_same(session, plan)
    _describe(session, plan)


def _rename(session: StatementSession, identities: Identities, old: str, new: str) -> None:
    try:
        session.do("ALTER DATABASE {} RENAME TO {}", name(old), name(new))
    except RunFailed as failure:
        raise _rename_failure(identities, old, failure) from failure


def _rename_failure(identities: Identities, database: str, failure: RunFailed) -> RunFailed:
    server, shown = identities.privileged, escape(database, 80)
    match sqlstate(failure):
        case "55006" | "55P03" | "57014":
            return RunFailed(
                Reason.SESSION_IN_THE_WAY,
                f"Database {shown} on {server.address} cannot be renamed, since sessions stay in it or come again: nothing has changed. "
                f"Stop what connects to it, or {identities.remedy}.",
            )
        case "42501":
            return RunFailed(
                Reason.PERMISSION_DENIED,
                f"Role {server.role} may not rename database {shown} on {server.address}, which takes its owner with CREATEDB, or a superuser: "
                f"{identities.remedy}.",
            )
        case "3D000":
            return not_loaded(f"there is no database {shown} any more")
        case _:
            return failure


def _require_same(session: StatementSession, plan: SwapPlan) -> None:
    """Nobody else can change the two databases now, so what was planned is looked at for the last time."""
    sides = plan.sides
    now, before = databases.require(session, sides.live), databases.require(session, plan.outgoing)
    if (now.oid, before.oid) != (sides.new_oid, sides.old_oid):
        raise not_loaded("another database has got one of the names since the swap was planned")
    if not plan.copies_properties:
        return
    loaded = _as_scratch(now, plan).marker
    if loaded is None or loaded.state != "Complete":
        raise not_loaded("the copy beside the live database is not complete any more")
    if loaded.attempt > plan.attempt:
        raise superseded(loaded.attempt)
    if loaded.has_unlogged and loaded.postmaster_started != session.value("SELECT pg_postmaster_start_time()"):
        raise not_loaded(
            "the server was restarted after the load, which may have emptied the unlogged tables of the copy"
        )


def _as_scratch(now: Database, plan: SwapPlan) -> Database:
    """A marker counts only with our name, which the database has no longer."""
    return Database(now.oid, plan.incoming, now.owner, now.tablespace, now.comment, now.locale)


def _describe(session: StatementSession, plan: SwapPlan) -> None:
    sides = plan.sides
    try:
        if plan.copies_properties:
            properties.copy(session, sides.old_oid, sides.new_oid, sides.live)
        session.do("COMMENT ON DATABASE {} IS {}", name(sides.live), text(plan.comment))
        session.do("COMMENT ON DATABASE {} IS {}", name(plan.outgoing), text(plan.outgoing_marker.to_comment()))
    except RunFailed as failure:
        if isinstance(failure.__cause__, psycopg.OperationalError):
            raise
        raise RunFailed(
            failure.reason, f"The properties of the live database cannot be copied. {failure.message}"
        ) from failure
