"""Writes each run as a row of backup_logs, QuoteNode's own table of backups in the database that is backed up.

The table belongs to QuoteNode. It is checked before every write and never altered, and a table that does not fit is reported. Each write has a short
session of its own with short timeouts, and whatever goes wrong becomes an outcome: no backup fails because of its row, or waits for it.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import IsolationLevel

from quotenode_backup.contract.plans import AuditRow, BackupPlan, RowStatus
from quotenode_backup.contract.results import DETAIL_LIMIT, AuditOutcome, Result, StoredBundle
from quotenode_backup.domain.naming import local_url
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres import backup_logs_schema
from quotenode_backup.runner.postgres.backup_logs_schema import Table, Unfit
from quotenode_backup.runner.postgres.connection import Connection, connect
from quotenode_backup.runner.postgres.refusals import session_failure
from quotenode_backup.runner.postgres.server import Server, server_of
from quotenode_backup.runner.process.display import Redactor, escape, sentence
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.threads import with_timeout

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
LOCK_SECONDS = 5
STATEMENT_SECONDS = 10
WRITE_SECONDS = 12
"""For a whole write. A pod that is told to stop has 30 seconds."""
PROBLEM_LIMIT = 360
INTERRUPTED = "Interrupted: the run ended without a result"

_one_at_a_time = threading.Lock()
"""A write that has timed out goes on in its thread. It must not come after the next one."""
_NOT_ATTEMPTED = {
    Reason.PLAN_INVALID,
    Reason.LOCK_BUSY,
    Reason.SECRET_MISSING,
    Reason.CREDENTIALS_REFUSED,
    Reason.DATABASE_NOT_FOUND,
    Reason.SOURCE_UNREACHABLE,
    Reason.POOLER_REFUSED,
}
"""Reasons of a failure with which no row is attempted: nothing was begun, or there is no access to the database."""


def begin(plan: BackupPlan, server: Server) -> None:
    """The run has the database's lock, so no other run of the operator can be going on: rows that say so are closed."""
    row = _row(plan, RowStatus.RUNNING, folder_url(plan))

    def work(writer: Writer) -> None:
        writer.close_abandoned(plan.run_uid)
        writer.upsert(plan.run_uid, row)

    _logged(_outcome(server, work))


def completed(plan: BackupPlan, server: Server, stored: StoredBundle) -> AuditOutcome:
    row = _row(plan, RowStatus.COMPLETED, local_url(plan.local.claim_name, stored.path))
    result = {"completed": stored.completed, "size_bytes": stored.size_bytes, "sha256": stored.sha256}
    return write(server, plan.run_uid, row.model_copy(update=result))


def failed(plan: BackupPlan, mounts: Mounts, redact: Redactor, result: Result) -> AuditOutcome | None:
    """None where no row is attempted."""
    if not plan.audit or result.reason in _NOT_ATTEMPTED:
        return None
    row = _row(plan, RowStatus.FAILED, folder_url(plan))
    ending = {"completed": datetime.now(UTC), "error": f"{result.reason}: {result.message}"}
    try:
        server = server_of(plan.database, mounts, redact)
    except RunFailed as failure:
        return _not_logged(failure)
    return write(server, plan.run_uid, row.model_copy(update=ending))


def write(server: Server, run_uid: str, row: AuditRow) -> AuditOutcome:
    """Makes `row` the row of this run, whether or not there is one already."""
    return write_into(server, server.planned.name, run_uid, row)


def write_into(server: Server, database: str, run_uid: str, row: AuditRow) -> AuditOutcome:
    """The same in another database of the server."""
    return _logged(_outcome(server, lambda writer: writer.upsert(run_uid, row), database))


def _logged(outcome: AuditOutcome) -> AuditOutcome:
    log.log(logging.INFO if outcome.logged else logging.WARNING, "%s", outcome.message)
    return outcome


def folder_url(plan: BackupPlan) -> str:
    """The folder of the bundle, which is known before the bundle has a name."""
    local = plan.local
    return local_url(local.claim_name, plan.target.bundle_home(local.sub_path))


def _row(plan: BackupPlan, status: RowStatus, destination: str) -> AuditRow:
    return AuditRow(status=status, initiated_by=plan.initiated_by, started=plan.started, destination=destination)


def _outcome(server: Server, work: "Callable[[Writer], None]", database: str = "") -> AuditOutcome:
    def locked() -> AuditOutcome:
        with _one_at_a_time:
            return _in_a_session(server, work, database or server.planned.name)

    try:
        return with_timeout(WRITE_SECONDS, locked)
    except TimeoutError as error:
        message = f"The row could not be written into backup_logs at {server.address}: {error}."
        return _not_logged(RunFailed(Reason.SOURCE_CONNECTION_LOST, message))
    except RunFailed as failure:
        return _not_logged(failure)
    except Exception as error:  # noqa: BLE001 - nothing that happens here may fail a backup
        message = sentence(server.redact(f"{type(error).__name__}: {error}"), 200)
        return _not_logged(
            RunFailed(
                Reason.INTERNAL_ERROR,
                f"Writing into backup_logs met an unexpected error ({message}): please report it.",
            )
        )


def _not_logged(failure: RunFailed) -> AuditOutcome:
    return AuditOutcome(logged=False, reason=failure.reason, message=sentence(failure.message, PROBLEM_LIMIT))


def _in_a_session(server: Server, work: "Callable[[Writer], None]", database: str) -> AuditOutcome:
    connection = connect(server, database, CONNECT_SECONDS)
    try:
        connection.isolation_level, connection.read_only = IsolationLevel.READ_COMMITTED, False
        with connection.transaction():
            set_up(connection)
            table = backup_logs_schema.require_table(connection)
            work(Writer(connection, table))
            backup_logs_schema.drop_view(connection, table)
    except Unfit as unfit:
        raise _unfit(server, unfit) from unfit
    except psycopg.Error as error:
        raise _refused(server, error) from error
    finally:
        connection.close()
    message = f"The run is a row of {escape(table.name, 80)} in database {escape(database, 80)}."
    return AuditOutcome(logged=True, reason=Reason.AUDIT_LOGGED, message=sentence(message, DETAIL_LIMIT))


def set_up(connection: Connection) -> None:
    """The time zone is UTC for the sake of columns that have none."""
    settings = {
        "timezone": "UTC",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
    }
    for setting, value in settings.items():
        connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", (setting, value))


class Writer:
    """Writes into a table that fits, within the transaction in which it was checked."""

    def __init__(self, connection: Connection, table: Table) -> None:
        self._connection, self._table = connection, table

    def close_abandoned(self, run_uid: str) -> None:
        values = {"now": datetime.now(UTC), "error": self._table.truncated(INTERRUPTED), "id": run_uid}
        closed = self._execute(
            "UPDATE {} SET status = 'FAILED', completed_at = %(now)s, error_message = %(error)s "
            f"WHERE {_STATUS} = 'RUNNING' AND destination LIKE 'pvc://%%' AND id <> %(id)s",
            values,
        )
        if closed:
            log.warning(
                "%d rows of backup_logs were of runs that ended without a result: their status is FAILED now", closed
            )

    def upsert(self, run_uid: str, row: AuditRow) -> None:
        """Does without ON CONFLICT, which needs a unique index that the table may lack."""
        values = {"id": run_uid, **self._values(row)}
        self._table.require_room(values)
        columns = [column for column in values if column != "id"]
        assignments = ", ".join(f"{column} = %({column})s" for column in columns)
        if self._execute(f"UPDATE {{}} SET {assignments} WHERE id = %(id)s", values):
            return
        names, placeholders = ", ".join(values), ", ".join(f"%({column})s" for column in values)
        self._execute(f"INSERT INTO {{}} ({names}) VALUES ({placeholders})", values)

    def _values(self, row: AuditRow) -> dict[str, Any]:
        return {
            "status": row.status.value,
            "initiated_by": row.initiated_by.upper(),
            "started_at": row.started,
            "completed_at": row.completed,
            "size_bytes": row.size_bytes,
            "destination": row.destination,
            "checksum_sha256": row.sha256,
            "error_message": row.error and self._table.truncated(row.error),
        }

    def _execute(self, statement: str, values: dict[str, Any]) -> int:
        """Gives the number of rows that were written. The name of the table may contain a percent sign."""
        return self._connection.execute(
            statement.format(self._table.target.replace("%", "%%")).encode(), values
        ).rowcount


def _unfit(server: Server, unfit: Unfit) -> RunFailed:
    message = server.quote(str(unfit), 300)
    if unfit.lacks_privileges:
        return RunFailed(
            Reason.PERMISSION_DENIED,
            f"Role {server.role} may not write into backup_logs of {_database(server)}: {message}, {_OR_SWITCH_OFF}",
        )
    return RunFailed(
        Reason.AUDIT_TABLE_UNFIT,
        f"Table backup_logs of {_database(server)} was left alone: {message}, {_OR_SWITCH_OFF}",
    )


def _refused(server: Server, error: psycopg.Error) -> RunFailed:
    """What it means that the server refused a row although the table fits."""
    code, message = error.sqlstate or "", server.quote(error.diag.message_primary or str(error), 160)
    if code == "42501":
        return _unfit(server, Unfit(message, "GRANT what is missing", lacks_privileges=True))
    if code in _LOCKED:
        return RunFailed(
            Reason.TABLE_LOCKED,
            f"Table backup_logs of {_database(server)} is locked by another session ({message}), so the row was not written.",
        )
    if code[:2] in _DATA_REFUSED:
        return _unfit(server, Unfit(f"the server refused the row ({code}: {message})", "let the table accept it"))
    return session_failure(server, error)


def _database(server: Server) -> str:
    return f"database {escape(server.planned.name, 80)} on {server.address}"


_STATUS = "pg_catalog.rtrim(pg_catalog.concat(status))"
"""The status as text, by the output function of its type. To compare an enum itself could run a cast to text that the owner of the enum wrote."""
_OR_SWITCH_OFF = "or set spec.auditLog to Disabled."
_LOCKED = {"55P03", "57014", "40P01", "40001"}
_DATA_REFUSED = {"09", "0A", "22", "23", "25", "27", "42", "44", "P0"}
