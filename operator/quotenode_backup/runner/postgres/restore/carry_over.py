"""Copies the rows of backup_logs from the live database into the copy, so that the restored database knows every backup that was made since.

The table is data like all other: the dump has it as it was while its own backup was still running. A row that both have is as in the live database. It
is done once the application is stopped. Whatever goes wrong becomes an outcome, since no restore fails because of these rows.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing

import psycopg
from psycopg import sql

from quotenode_backup.contract.plans import AuditRow
from quotenode_backup.contract.results import DETAIL_LIMIT, AuditOutcome
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres import backup_logs, backup_logs_schema
from quotenode_backup.runner.postgres.backup_logs_schema import Table, Unfit
from quotenode_backup.runner.postgres.connection import Connection, connect
from quotenode_backup.runner.postgres.restore.statements import name, statement
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.process.display import sentence

_ROWS = "pg_temp.quotenode_live_rows"


def carry_over(server: Server, live: str | None, scratch: str, own: tuple[str, AuditRow] | None) -> AuditOutcome:
    """`live`: the live database; None if there is none. `own`: the id and the row of the backup that is restored, which is completed by now."""
    try:
        copied = _copied(server, live, scratch)
    except Unfit as unfit:
        return _problem(server, Reason.AUDIT_TABLE_UNFIT, str(unfit))
    except psycopg.Error as error:
        return _problem(server, Reason.AUDIT_TABLE_UNFIT, error.diag.message_primary or str(error))
    except RunFailed as failure:
        return _problem(server, failure.reason, failure.message)
    if own and not _has_ended(server, scratch, own[0]):
        return backup_logs.write_into(server, scratch, *own)
    message = f"{copied} rows of backup_logs were taken over from the live database."
    return AuditOutcome(logged=True, reason=Reason.AUDIT_LOGGED, message=message)


def _problem(server: Server, reason: Reason, problem: str) -> AuditOutcome:
    message = f"The rows of backup_logs since the backup were not taken over: {server.quote(problem, 300)}"
    return AuditOutcome(logged=False, reason=reason, message=sentence(message, DETAIL_LIMIT))


def _copied(server: Server, live: str | None, scratch: str) -> int:
    if live is None:
        return 0
    with closing(connect(server, live)) as source, closing(connect(server, scratch)) as target:
        return _between(source, target)


def _between(source: Connection, target: Connection) -> int:
    with source.transaction(), target.transaction():
        for connection in (source, target):
            backup_logs.set_up(connection)
        found, table = backup_logs_schema.require_table(source), backup_logs_schema.require_table(target)
        columns = _common(found, target, table)
        _transfer(source, found, target, table, columns)
        count = _merge(target, table, columns)
        for connection, one in ((source, found), (target, table)):
            backup_logs_schema.drop_view(connection, one)
        return count


def _common(found: Table, target: Connection, table: Table) -> Sequence[str]:
    """The columns that both have and that can be written. A release of the application in between may have added or removed some."""
    generated = {name for (name,) in target.execute(_GENERATED, (table.name,))}
    return [column for column in table.columns if column in found.columns and column not in generated]


def _transfer(source: Connection, found: Table, target: Connection, table: Table, columns: Sequence[str]) -> None:
    parts = {"columns": sql.SQL(", ").join(map(name, columns)), "rows": sql.SQL(_ROWS)}
    target.execute(
        _formatted(
            "CREATE TEMPORARY TABLE {rows} ON COMMIT DROP AS SELECT {columns} FROM {table} LIMIT 0", parts, table
        )
    )
    taking = _formatted("COPY {rows} ({columns}) FROM STDIN", parts, table)
    giving = _formatted("COPY (SELECT {columns} FROM {table}) TO STDOUT", parts, found)
    with source.cursor().copy(giving) as rows, target.cursor().copy(taking) as into:
        for row in rows:
            into.write(row)


def _merge(target: Connection, table: Table, columns: Sequence[str]) -> int:
    others = [column for column in columns if column != "id"]
    assignments = [statement("{} = live.{}", name(column), name(column)) for column in others]
    parts = {
        "columns": sql.SQL(", ").join(map(name, columns)),
        "assignments": sql.SQL(", ").join(assignments),
        "rows": sql.SQL(_ROWS),
    }
    target.execute(_formatted(_UPDATE, parts, table))
    target.execute(_formatted(_INSERT, parts, table))
    row = target.execute(_formatted("SELECT count(*) FROM {rows}", parts, table)).fetchone()
    return int(row[0]) if row else 0


def _formatted(template: str, parts: Mapping[str, sql.Composable], table: Table) -> sql.Composed:
    return sql.SQL(template).format(**parts, table=sql.SQL(table.target))


def _has_ended(server: Server, scratch: str, run_uid: str) -> bool:
    """Whether the row of this backup already says how it ended."""
    try:
        with closing(connect(server, scratch)) as connection, connection.transaction():
            backup_logs.set_up(connection)
            table = backup_logs_schema.require_table(connection)
            query = _formatted(
                "SELECT 1 FROM {table} WHERE id::text = {id} AND completed_at IS NOT NULL",
                {"id": sql.Literal(run_uid)},
                table,
            )
            ended = connection.execute(query).fetchone() is not None
            backup_logs_schema.drop_view(connection, table)
            return ended
    except (psycopg.Error, RunFailed, Unfit):
        return False


_GENERATED = """
    SELECT a.attname::text FROM pg_attribute a
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''
"""
_UPDATE = "UPDATE {table} AS kept SET {assignments} FROM {rows} AS live WHERE kept.id = live.id"
_INSERT = """
    INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
    SELECT {columns} FROM {rows} AS live WHERE NOT EXISTS (SELECT FROM {table} AS kept WHERE kept.id = live.id)
"""
