"""How the runner connects to PostgreSQL.

It needs four things that a plain call of psycopg does not give:
- Something else than the server may answer at the address. The password is never sent in cleartext to a server whose certificate was not
  verified, and no message of such a server gets into a status unless the server has proven that it knows the role's password. Only SCRAM proves
  that.
- libpq reports the SQLSTATE of a refused connection only if it was asked to be verbose before.
- A network that drops packets must not block a run for hours: keepalives and tcp_user_timeout end the connection.
- There must be no pooler in between, since locks and snapshots belong to one session of the server. A pooler gives the client a process id of its
  own invention, which differs from the one that the server reports.
"""

import logging
import select
import time
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres import libpq
from quotenode_backup.runner.postgres.refusals import OTHER_AUTH_METHOD, refusal, session_failure, unreachable
from quotenode_backup.runner.postgres.server import MUTUAL, Server
from quotenode_backup.runner.process.display import sentence

log = logging.getLogger(__name__)

CONNECT_SECONDS = 20
KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
APPLICATION = "quotenode-backup"
_KNOWS_REQUIRE_AUTH = 160000
"""The libpq of the image is newer. That of a developer's machine may be older."""
Connection = psycopg.Connection[tuple[Any, ...]]


def connect(server: Server, database: str, within: float = CONNECT_SECONDS) -> Connection:
    """A session in autocommit mode."""
    connection = psycopg.Connection(_connected(server, database, within))
    connection.autocommit = True
    connection.prepare_threshold = None
    try:
        _refuse_pooler(connection, server)
        settings = {"search_path": "", **session_settings(connection.info.server_version)}
        calls = ", ".join(
            f"pg_catalog.set_config('{setting}', '{value}', false)" for setting, value in settings.items()
        )
        connection.execute(f"SELECT {calls}".encode())
    except psycopg.Error as error:
        connection.close()
        raise session_failure(server, error) from error
    except RunFailed:
        connection.close()
        raise
    return connection


def session_settings(server_version: int) -> dict[str, int]:
    """These override the settings of role and database: PostgreSQL must not end a session of a run for taking long, and a session that has lost
    its client must not keep its lock for the two hours that TCP's defaults would take."""
    settings = {
        "statement_timeout": 0,
        "lock_timeout": 0,
        "idle_in_transaction_session_timeout": 0,
        "tcp_keepalives_idle": 30,
        "tcp_keepalives_interval": 10,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    if server_version >= 140000:
        settings["idle_session_timeout"] = 0
    if server_version >= 170000:
        settings["transaction_timeout"] = 0
    return settings


def _connected(server: Server, database: str, within: float) -> PGconn:
    pgconn = _attempted(server, database, within)
    if server.require_auth == MUTUAL and OTHER_AUTH_METHOD in _error_message(pgconn):
        server.proof.is_given = False
        pgconn.finish()
        pgconn = _attempted(server, database, within)
    if pgconn.status != pq.ConnStatus.OK:
        message = server.redact(_error_message(pgconn))
        pgconn.finish()
        log.info("No connection to %s: %s", server.address, sentence(message, 1000))
        raise refusal(server, database, message)
    pgconn.nonblocking = 1
    return pgconn


def _error_message(pgconn: PGconn) -> str:
    return pgconn.error_message.decode(errors="replace")


def _attempted(server: Server, database: str, within: float) -> PGconn:
    """Either connected, or with an error message."""
    pgconn = pq.PGconn.connect_start(_conninfo(server, database).encode())
    try:
        libpq.be_verbose(pgconn)
        _complete(pgconn, server, within)
    except BaseException:
        pgconn.finish()
        raise
    return pgconn


def _conninfo(server: Server, database: str) -> str:
    """`database` is a quoted value in it, and cannot be taken for a connection string."""
    return make_conninfo(
        host=server.planned.host,
        port=server.planned.port,
        dbname=database,
        user=server.credentials.username,
        password=server.credentials.password,
        sslmode=server.planned.ssl_mode,
        sslrootcert=str(server.ca_file) if server.ca_file else None,
        require_auth=server.require_auth if pq.version() >= _KNOWS_REQUIRE_AUTH else None,
        application_name=APPLICATION,
        client_encoding="UTF8",
        **KEEPALIVE,
    )


def _complete(pgconn: PGconn, server: Server, within: float) -> None:
    end = time.monotonic() + within
    while pgconn.status != pq.ConnStatus.BAD:
        status = pgconn.connect_poll()
        if status in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            return
        if not _ready(pgconn.socket, status, end - time.monotonic()):
            raise unreachable(server, f"no answer within {within:g} s")


def _ready(socket: int, status: int, seconds: float) -> bool:
    reading = [socket] if status == pq.PollingStatus.READING else []
    writing = [] if reading else [socket]
    return any(select.select(reading, writing, [], max(0, seconds)))


def _refuse_pooler(connection: Connection, server: Server) -> None:
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    if row and row[0] == connection.info.backend_pid:
        return
    raise RunFailed(
        Reason.POOLER_REFUSED,
        f"A connection pooler answers at {server.address}, and a backup needs a session of PostgreSQL itself for its lock and its snapshot: "
        "set spec.database.host and port to PostgreSQL, not to the pooler.",
    )
