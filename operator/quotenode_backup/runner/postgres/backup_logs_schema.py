"""Whether backup_logs has the expected columns, and is safe for this role to write into. The table is never altered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quotenode_backup.runner.postgres import backup_logs_code
from quotenode_backup.runner.postgres.connection import Connection
from quotenode_backup.runner.process.display import escape

TABLE = "backup_logs"
_TEXT = frozenset({"text", "varchar", "bpchar", "citext"})
_TIME = frozenset({"timestamptz", "timestamp"})
_NUMBER = frozenset({"int8", "int4", "numeric"})
_LARGEST_INT4 = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ExpectedColumn:
    types: frozenset[str]
    is_nullable: bool = False
    """Whether some of our rows have no value for it."""
    labels: frozenset[str] = frozenset()
    """All values that we write, if there are few: an enum must have these labels, and text must be long enough."""
    length: int = 0
    """Characters that are needed, if that is known."""


COLUMNS: Mapping[str, ExpectedColumn] = {
    "id": ExpectedColumn(frozenset({"uuid", "text", "varchar"}), length=36),
    "status": ExpectedColumn(_TEXT, labels=frozenset({"RUNNING", "COMPLETED", "FAILED"})),
    "initiated_by": ExpectedColumn(_TEXT, labels=frozenset({"SCHEDULER", "ADMIN"})),
    "started_at": ExpectedColumn(_TIME),
    "completed_at": ExpectedColumn(_TIME, is_nullable=True),
    "size_bytes": ExpectedColumn(_NUMBER, is_nullable=True),
    "destination": ExpectedColumn(_TEXT),
    "checksum_sha256": ExpectedColumn(_TEXT, is_nullable=True, length=64),
    "error_message": ExpectedColumn(_TEXT, is_nullable=True),
}
ROOM_FOR_A_NAME = 64
"""Characters. The destination of a run that is going on is the folder, to which the name of the bundle is appended later."""
BOUND_LOCK_MILLISECONDS = 300
"""Sessions that want to write queue up behind a session that waits for the lock on the table, and behind the one that has it. So ours gives up
soon, and a small Job writes the row later."""


class Unfit(Exception):
    """`fault`: what does not fit, as a clause. `remedy`: what to do about it, as an imperative."""

    def __init__(self, fault: str, remedy: str, *, lacks_privileges: bool = False) -> None:
        super().__init__(f"{fault}: {remedy}" if fault else remedy)
        self.lacks_privileges = lacks_privileges


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """The base type if the type is a domain."""
    length: int | None = None
    """Characters. None: without a limit."""
    labels: frozenset[str] | None = None
    """The labels of an enum. None for other types."""
    is_not_null: bool = False
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    """Qualified and quoted."""
    columns: Mapping[str, Column]
    has_view: bool = False
    """Whether it is written into through our temporary view: see `_create_view`."""

    @property
    def target(self) -> str:
        return _VIEW if self.has_view else self.name

    def truncated(self, error: str) -> str:
        return error[: self.columns["error_message"].length]

    def require_room(self, values: dict[str, Any]) -> None:
        """Leaves out a size that the column cannot hold. Raises Unfit when the destination does not fit."""
        room, url = self.columns["destination"].length, values["destination"]
        needed = len(url) + (ROOM_FOR_A_NAME if url.endswith("/") else 0)
        if room is not None and room < needed:
            raise Unfit(f"column destination has room for {room} characters, and {needed} are needed", "widen it")
        if self.columns["size_bytes"].type == "int4" and (values["size_bytes"] or 0) > _LARGEST_INT4:
            values["size_bytes"] = None


@dataclass(frozen=True, slots=True)
class TableInfo:
    oid: int
    name: str
    """Qualified and quoted."""
    kind: str
    may_use_schema: bool
    missing_privileges: str | None
    owner: str
    is_owner_super: bool
    is_owned: bool
    """Whether the role that signed in owns the table with every partition and child. A role that became the owner by a setting does not count: the
    owner's code could undo that with RESET ROLE."""

    @property
    def has_only_own_code(self) -> bool:
        """Whether all code of the table is this role's own. Not so for a superuser's table: the privilege to create triggers on it may have been
        granted to other roles, which would gain much by them."""
        return self.is_owned and not self.is_owner_super


def require_table(connection: Connection) -> Table:
    """The table, in whichever schema it is. Raises Unfit unless it accepts our rows and a write runs no other role's code with our privileges."""
    found = _usable(connection, _oid(connection))
    needs_view = not found.has_only_own_code
    if needs_view:
        require_visible_code(found, connection.info.server_version)
        found = _usable(connection, _create_view(connection, found))
        _require_harmless(connection, found)
    columns = {row[0]: _column(*row) for row in connection.execute(_COLUMNS, (found.oid,))}
    for fault, remedy in faults(columns):
        raise Unfit(fault, remedy)
    return Table(found.name, columns, needs_view)


def drop_view(connection: Connection, table: Table) -> None:
    """Drops the view within the transaction that created it, so that no other session ever sees it."""
    if table.has_view:
        connection.execute(f"DROP VIEW {_VIEW}".encode())


def _usable(connection: Connection, oid: int | None) -> TableInfo:
    row = connection.execute(_ABOUT, {"oid": oid}).fetchone() if oid else None
    if not row:
        where = "in schema public or on the search_path of the role"
        raise Unfit(f"there is no such table {where}", "let QuoteNode create it")
    found = TableInfo(*row)
    name = escape(found.name, 80)
    if found.kind not in ("r", "p"):
        raise Unfit(f"{name} is a {_KINDS.get(found.kind, 'relation')}, not a table", "put a table in its place")
    if not found.may_use_schema or found.missing_privileges:
        privileges = found.missing_privileges or "SELECT, INSERT, UPDATE"
        schema = "" if found.may_use_schema else " and USAGE on its schema"
        raise Unfit("", f"GRANT {privileges} ON {name}{schema} to it", lacks_privileges=True)
    return found


def require_visible_code(found: TableInfo, server_version: int) -> None:
    """Older servers cannot show everything that may run code. All can show triggers, which are all that matters on a superuser's own table."""
    if not found.is_owned and server_version < backup_logs_code.OLDEST_SERVER * 10_000:
        fault = f"only since PostgreSQL {backup_logs_code.OLDEST_SERVER} can a role that does not own it see whose code a write would run"
        raise Unfit(fault, _use_owner(found))


def _create_view(connection: Connection, found: TableInfo) -> int:
    """Fixes by a view which table is written into, locks it until the transaction ends, and gives its OID.

    Each statement looks names up anew, and the owner of the schema can rename it and put another schema in its place between our check and our
    write: no lock on a table prevents that. A view refers to its table by OID, and nobody else can change our temporary schema. The lock extends
    through the view to the table, its partitions and its children. It prevents new triggers, constraints, indexes and partitions, and the privileges
    SELECT, INSERT and UPDATE suffice to take it. While we have it, we wait only briefly for locks on rows, too.
    """
    database = connection.execute(_LACKS_TEMPORARY).fetchone()
    if database:
        raise Unfit("", f"GRANT TEMPORARY ON DATABASE {escape(database[0], 80)} to it", lacks_privileges=True)
    name = found.name.replace("%", "%%")
    connection.execute(f"CREATE TEMPORARY VIEW {_VIEW} AS SELECT * FROM {name}".encode(), ())
    connection.execute("SELECT pg_catalog.set_config('lock_timeout', %s, true)", (f"{BOUND_LOCK_MILLISECONDS}ms",))
    connection.execute(f"LOCK TABLE {_VIEW} IN SHARE ROW EXCLUSIVE MODE".encode())
    row = connection.execute(_BEHIND_THE_VIEW).fetchone()
    return int(row[0]) if row else 0


def _require_harmless(connection: Connection, found: TableInfo) -> None:
    try:
        backup_logs_code.require_harmless(connection, found.oid, COLUMNS, "id", is_owned=found.is_owned)
    except backup_logs_code.ForeignCode as code:
        role = escape(connection.info.user, 63)
        raise Unfit(f"{code} can run somebody else's code as role {role}", _use_owner(found)) from code


def _use_owner(found: TableInfo) -> str:
    if found.is_owner_super:
        return "remove that, make an ordinary role the owner of the table and put it into the Secret"
    return f"put the table's owner, role {escape(found.owner, 63)}, into the Secret"


def _column(
    name: str, kind: str, length: int | None, labels: list[str] | None, is_not_null: bool, has_default: bool
) -> Column:
    return Column(name, kind, length, None if labels is None else frozenset(labels), is_not_null, has_default)


def faults(columns: Mapping[str, Column]) -> Iterator[tuple[str, str]]:
    """Pairs of what is wrong and what to do about it."""
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        yield f"it lacks column {', '.join(missing)}", "let QuoteNode's migrations add it"
        return
    for name, expected in COLUMNS.items():
        if found := _fault(columns[name], expected):
            fault, remedy = found
            yield f"column {name} {fault}", remedy
    for column in columns.values():
        if column.name not in COLUMNS and column.is_not_null and not column.has_default:
            fault = "is NOT NULL without a default, and only QuoteNode knows its value"
            yield f"column {escape(column.name, 63)} {fault}", "give it a default"


def _fault(column: Column, expected: ExpectedColumn) -> tuple[str, str] | None:
    length = max((len(label) for label in expected.labels), default=expected.length)
    if column.labels is not None and expected.labels:
        missing = sorted(expected.labels - column.labels)
        return (f"is an enum without {', '.join(missing)}", "add that") if missing else None
    if column.type not in expected.types:
        return f"is of type {escape(column.type, 63)}, not {', '.join(sorted(expected.types))}", "change its type"
    if column.length is not None and column.length < length:
        return f"has room for {column.length} characters, and {length} are needed", "widen it"
    if column.is_not_null and expected.is_nullable:
        return "is NOT NULL, and not every run has a value for it", "drop the constraint"
    return None


def _oid(connection: Connection) -> int | None:
    """Our sessions have an empty search_path. The role's own is set for one statement if the table is not in schema public."""
    in_public = connection.execute(_IN_PUBLIC, (TABLE,)).fetchone()
    if in_public:
        return int(in_public[0])
    connection.execute("SET LOCAL search_path TO DEFAULT")
    on_path = connection.execute("SELECT pg_catalog.to_regclass('backup_logs')::pg_catalog.oid").fetchone()
    connection.execute("SET LOCAL search_path TO ''")
    return int(on_path[0]) if on_path and on_path[0] else None


_KINDS = {"v": "view", "m": "materialized view", "f": "foreign table"}
_IN_PUBLIC = """
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_VIEW = "pg_temp.backup_logs"
_BEHIND_THE_VIEW = f"""
    SELECT d.refobjid FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
    WHERE w.ev_class = '{_VIEW}'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
    LIMIT 1
"""
_LACKS_TEMPORARY = """
    SELECT format('%I', current_database()) WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
"""
_ABOUT = """
    WITH RECURSIVE tree AS (
        SELECT %(oid)s::oid AS relid
        UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.relid
    )
    SELECT c.oid, format('%%I.%%I', n.nspname, c.relname), c.relkind::text, has_schema_privilege(n.oid, 'USAGE'),
           (SELECT string_agg(right_, ', ') FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS right_
            WHERE NOT has_table_privilege(c.oid, right_)),
           o.rolname, o.rolsuper,
           o.rolname = session_user AND o.rolname = current_user
               AND NOT EXISTS (SELECT FROM tree JOIN pg_class child ON child.oid = tree.relid WHERE child.relowner <> c.relowner)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles o ON o.oid = c.relowner
    WHERE c.oid = %(oid)s
"""
_COLUMNS = """
    SELECT a.attname, t.typname, CASE WHEN t.typname IN ('varchar', 'bpchar') AND m.typmod > 4 THEN m.typmod - 4 END,
           (SELECT array_agg(e.enumlabel::text) FROM pg_enum e WHERE e.enumtypid = t.oid),
           a.attnotnull, a.atthasdef OR a.attidentity <> ''
    FROM pg_attribute a
    JOIN pg_type declared ON declared.oid = a.atttypid
    JOIN pg_type t ON t.oid = CASE declared.typtype WHEN 'd' THEN declared.typbasetype ELSE declared.oid END
    CROSS JOIN LATERAL (SELECT CASE declared.typtype WHEN 'd' THEN declared.typtypmod ELSE a.atttypmod END AS typmod) AS m
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
