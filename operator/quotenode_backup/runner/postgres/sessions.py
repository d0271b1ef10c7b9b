"""The two sessions that a run has beside those of pg_dump: one holds the lock, the other the snapshot."""

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import psycopg

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres import definitions
from quotenode_backup.runner.postgres.connection import Connection, connect
from quotenode_backup.runner.postgres.refusals import session_failure
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.process.display import escape

MAINTENANCE = "postgres"
CATALOG_WAIT_SECONDS = 5


class Session:
    """A connection whose errors are raised as RunFailed."""

    def __init__(self, server: Server, database: str) -> None:
        self._server = server
        self._connection: Connection = connect(server, database)

    @property
    def server(self) -> Server:
        return self._server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session, and with it all that the session held."""
        self._connection.close()

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement.encode(), values or None).fetchall()
        except psycopg.Error as error:
            raise session_failure(self._server, error) from error

    def value(self, statement: str, **values: Any) -> Any:
        return self.rows(statement, **values)[0][0]

    def check(self) -> None:
        """Raises when the session is gone, and with it all that it held."""
        self.value("SELECT 1")

    def execute(self, statement: str) -> None:
        try:
            self._connection.execute(statement.encode())
        except psycopg.Error as error:
            raise session_failure(self._server, error) from error

    @property
    def server_version(self) -> int:
        return self._connection.info.server_version

    @property
    def server_version_text(self) -> str:
        return str(self._connection.info.parameter_status("server_version"))


def lock_key(system_identifier: int, database: str) -> int:
    """A signed 64-bit number that is the same from every namespace, and by every name that the host has."""
    text = f"quotenode-backup\0{system_identifier}\0{database}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


class DatabaseLock(Session):
    """Ensures that there is at most one backup of a database at a time.

    The lock belongs to an open transaction in the maintenance database. So it ends with the session, it survives a rename of the database that is
    backed up, and it holds no snapshot that would keep VACUUM from removing rows, since no statement is running.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(server, MAINTENANCE)
        self.system_identifier: int = self.value("SELECT system_identifier FROM pg_control_system()")
        self._key = lock_key(self.system_identifier, server.planned.name)

    @property
    def tag(self) -> str:
        """A short name for this database on this server, fit for the name of a file. No other database has it."""
        return f"{self._key & 0xFFFFFFFF:08x}"

    def acquire(self) -> None:
        self.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
        # The key is part of the statement: with a parameter a portal would stay open, whose snapshot keeps VACUUM from removing rows.
        if not self.value(f"SELECT pg_try_advisory_xact_lock({self._key})"):
            raise self._busy()

    def _busy(self) -> RunFailed:
        server = self._server
        return RunFailed(
            Reason.LOCK_BUSY,
            f"Database {escape(server.planned.name, 80)} on {server.address} is being backed up by another run"
            f"{self._holder()}: this run waits for its turn.",
        )

    def _holder(self) -> str:
        found = self.rows(_HOLDER, high=(self._key >> 32) & 0xFFFFFFFF, low=self._key & 0xFFFFFFFF)
        if not found:
            return ""
        pid, application, client, since = found[0]
        where = self._server.quote_name(client or "the server", 60)
        return f" (session {pid}, {self._server.quote_name(application or 'unknown', 70)}, from {where}, since {since})"


_HOLDER = """
    SELECT l.pid, a.application_name, host(a.client_addr), to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.classid::bigint = %(high)s AND l.objid::bigint = %(low)s
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that pg_dump can use for as long as the session lives."""

    identifier: str
    encoding: str


@dataclass(frozen=True, slots=True)
class Definition:
    """Something that a dump relies on, as the catalogs define it."""

    name: str
    signature: int
    is_open: bool
    """Whether it can change while pg_dump reads rows: pg_dump does not lock the tables of extensions, and nothing locks the labels of an enum."""


Definitions = dict[tuple[str, int], Definition]
"""By kind and oid."""


class SnapshotSession(Session):
    def database_bytes(self) -> int:
        return int(self.value("SELECT pg_database_size(current_database())"))

    def export(self) -> Snapshot:
        """Exports a new snapshot. The one before is released."""
        self.release()
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return Snapshot(*self.rows(_SNAPSHOT)[0])

    def release(self) -> None:
        """Ends the snapshot's transaction, once pg_dump has taken the snapshot over. From here on this session sees what is committed."""
        self.execute("ROLLBACK")

    def definitions(self, *, of_snapshot: bool) -> Definitions:
        """The definitions as the snapshot sees them, or as they are now.

        No lock is kept, and none is waited for without an end: a session that rewrites a catalog would wait for ours, pg_dump for that session, and
        we for pg_dump.
        """
        begin, end = (
            ("SAVEPOINT definitions", "ROLLBACK TO SAVEPOINT definitions")
            if of_snapshot
            else ("BEGIN READ ONLY", "ROLLBACK")
        )
        self.execute(begin)
        try:
            self.execute(f"SET LOCAL lock_timeout = '{CATALOG_WAIT_SECONDS}s'")
            found = self.rows(definitions.STATEMENT)
        finally:
            self.execute(end)
        return {
            (kind, oid): Definition(bytes(name).decode(errors="replace"), signature, is_open)
            for kind, oid, name, signature, is_open in found
        }

    def standby_notes(self) -> list[str]:
        """What a dump from a standby lacks. Empty when the server is not one."""
        if not self.value("SELECT pg_is_in_recovery()"):
            return []
        moment = self.value(_REPLAYED)
        tables = [self._quote_name(name) for (name,) in self.rows(_UNLOGGED)]
        left_out = f"; it has no rows of unlogged tables, so they are left out: {', '.join(tables)}" if tables else ""
        return [
            f"the server is a standby, and has all that was committed until {moment or 'an unknown time'}{left_out}"
        ]

    def require_readable(self) -> None:
        """Fails at once where pg_dump would fail after minutes, and with one table at a time."""
        found = self.rows(_UNREADABLE)
        if not found:
            return
        kind, name = found[0]
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        database = f"database {escape(self._server.planned.name, 80)} on {self._server.address}"
        raise RunFailed(
            Reason.PERMISSION_DENIED,
            f"Role {self._server.role} may not read {kind} {self._quote_name(name)}{more} of {database}: {_REMEDY[kind]}, or put "
            f"the owner's role into Secret {self._server.planned.credentials_secret}.",
        )

    def _quote_name(self, name: str | None) -> str:
        return self._server.quote_name(name or "?", 120)

    def with_blocker(self, failure: RunFailed) -> RunFailed:
        """Adds to a failure which session holds a lock that pg_dump waits for."""
        found = self.rows(_BLOCKERS)
        if not found:
            return failure
        pid, role, application, table = found[0]
        who = f"role {self._server.quote_name(role or '?', 40)} ({self._server.quote_name(application or '-', 40)})"
        holder = f"{self._quote_name(table)} is held by session {pid} of {who}"
        return RunFailed(failure.reason, f"{failure.message} {holder}.")


_SNAPSHOT = "SELECT pg_export_snapshot(), current_setting('server_encoding')"
_REPLAYED = "SELECT to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"')"
_UNLOGGED = """
    SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'r' AND c.relpersistence = 'u' ORDER BY 1 LIMIT 20
"""
_ROWS = "every row (row-level security) of table"
_REMEDY = {
    "table": "GRANT SELECT on it and USAGE on its schema, or GRANT pg_read_all_data, to the role",
    "sequence": "GRANT SELECT on it and USAGE on its schema, or GRANT pg_read_all_data, to the role",
    _ROWS: "ALTER ROLE … BYPASSRLS",
    "large object": "GRANT SELECT ON LARGE OBJECT to the role",
}

_BLOCKERS = """
    SELECT l.pid, a.usename, a.application_name, l.relation::regclass::text
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    LIMIT 1
"""

# What pg_dump reads: tables, sequences and large objects outside the system's schemas and the extensions' own.
_UNREADABLE = f"""
    WITH mine AS (
        SELECT c.oid, c.relkind, n.oid AS schema, format('%I.%I', n.nspname, c.relname) AS name
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    )
    (SELECT CASE WHEN relkind = 'S' THEN 'sequence' ELSE 'table' END, name FROM mine
     WHERE NOT has_schema_privilege(schema, 'USAGE')
        OR relkind <> 'S' AND NOT has_table_privilege(oid, 'SELECT')
        OR relkind = 'S' AND NOT has_sequence_privilege(oid, 'SELECT')
     ORDER BY 1 DESC, 2 LIMIT 100)
    UNION ALL
    (SELECT '{_ROWS}', name FROM mine WHERE relkind IN ('r', 'p') AND row_security_active(oid)
     ORDER BY 2 LIMIT 100)
    UNION ALL
    (SELECT 'large object', m.oid::text FROM pg_largeobject_metadata m
     WHERE current_setting('lo_compat_privileges') = 'off' AND NOT pg_has_role(m.lomowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a
                       WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
     ORDER BY 2 LIMIT 100)
"""
