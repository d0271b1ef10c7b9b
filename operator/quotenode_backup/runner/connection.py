"""One way to connect, and what a refused connection means.

Three things the ordinary way does not give:
- The server's words come in the server's language, so what they mean is read from the SQLSTATE, and libpq tells
  it of a failed connection only when asked to be verbose before the connection is made.
- A network that drops packets must not hold a run for hours: keepalives and tcp_user_timeout end it.
- A pooler must not stand between: locks and snapshots belong to one session of the server. A pooler makes up the
  process id that it gives a client at the start, so it is not the one that the server answers with.
"""

import ctypes
import re
import select
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn

from quotenode_backup.contract import PlannedDatabase
from quotenode_backup.domain.errors import Reason, RunFailed
from quotenode_backup.runner.credentials import Credentials, read_credentials, require_ca
from quotenode_backup.runner.places import Places
from quotenode_backup.runner.wording import Redactor, sentence, shown

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
_VERBOSE = 2  # PQERRORS_VERBOSE

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Server:
    """A database server as one role reaches it."""

    planned: PlannedDatabase
    credentials: Credentials
    ca_file: Path | None = None
    redact: Redactor = field(default_factory=Redactor)

    @property
    def address(self) -> str:
        return f"{shown(self.planned.host)}:{self.planned.port}"

    @property
    def role(self) -> str:
        return shown(self.credentials.username)


def server_of(database: PlannedDatabase, places: Places, redact: Redactor) -> Server:
    credentials = read_credentials(places, database)
    redact.learn(credentials.password)
    return Server(database, credentials, require_ca(places, database), redact)


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
        raise lost(server, error) from error
    except RunFailed:
        connection.close()
        raise
    return connection


def session_settings(server_version: int) -> dict[str, int]:
    """Whatever role or database say: no session of a run is ended for taking long, and none that lost its client keeps its
    lock for the two hours that TCP would."""
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
    pgconn = pq.PGconn.connect_start(_conninfo(server, database).encode())
    try:
        _ask_for_sqlstate(pgconn)
        _complete(pgconn, server, within)
    except BaseException:
        pgconn.finish()
        raise
    if pgconn.status != pq.ConnStatus.OK:
        words = pgconn.error_message.decode(errors="replace")
        pgconn.finish()
        raise refusal(server, database, server.redact(words))
    pgconn.nonblocking = 1
    return pgconn


def _conninfo(server: Server, database: str) -> str:
    """`database` goes in as a value, so it can't be taken for a connection string."""
    return make_conninfo(
        host=server.planned.host,
        port=server.planned.port,
        dbname=database,
        user=server.credentials.username,
        password=server.credentials.password,
        sslmode=server.planned.ssl_mode,
        sslrootcert=str(server.ca_file) if server.ca_file else None,
        application_name=APPLICATION,
        client_encoding="UTF8",
        **KEEPALIVE,
    )


def _ask_for_sqlstate(pgconn: PGconn) -> None:
    """psycopg has no word for it. Its plain Python form works on the system's libpq, the one that is loaded here."""
    set_verbosity = ctypes.CDLL("libpq.so.5").PQsetErrorVerbosity
    set_verbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
    set_verbosity(getattr(pgconn, "pgconn_ptr"), _VERBOSE)  # noqa: B009 - only the plain Python form has it


def _complete(pgconn: PGconn, server: Server, within: float) -> None:
    end = time.monotonic() + within
    while pgconn.status != pq.ConnStatus.BAD:
        status = pgconn.connect_poll()
        if status in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            return
        if not _ready(pgconn.socket, status, end - time.monotonic()):
            raise _unreachable(server, f"no answer within {within:g} s")


def _ready(socket: int, status: int, seconds: float) -> bool:
    reading = [socket] if status == pq.PollingStatus.READING else []
    writing = [] if reading else [socket]
    return any(select.select(reading, writing, [], max(0, seconds)))


def refusal(server: Server, database: str, words: str) -> RunFailed:
    """What libpq's verbose words on a failed connection mean."""
    found = re.search(r":  ([0-9A-Z]{5}): (.*)", words)  # two spaces: libpq's mark of a severity, in any language
    if not found:
        return _unreachable(server, words)
    code, said = found[1], sentence(found[2], 160)
    secret, name = server.planned.credentials_secret, shown(database, 80)
    match code:
        case "28P01" | "28000":
            return RunFailed(
                Reason.CREDENTIALS_REFUSED,
                f"PostgreSQL at {server.address} refused role {server.role} with the password from Secret {secret} "
                f"({code}: {said}): put the right role and password into the Secret, or let pg_hba.conf admit them.",
            )
        case "3D000":
            is_target = database == server.planned.name
            remedy = "correct spec.database.name" if is_target else "create it, since a backup holds its lock there"
            return RunFailed(
                Reason.DATABASE_NOT_FOUND, f"There is no database {name} on {server.address} ({said}): {remedy}."
            )
        case "42501":
            return RunFailed(
                Reason.PERMISSION_DENIED,
                f"Role {server.role} may not connect to database {name} on {server.address} ({said}): "
                f"GRANT CONNECT ON DATABASE to it, or use another role in Secret {secret}.",
            )
        case _:
            return _unreachable(server, f"{code}: {said}")


def _unreachable(server: Server, words: str) -> RunFailed:
    return RunFailed(
        Reason.SOURCE_UNREACHABLE,
        f"PostgreSQL at {server.address} cannot be reached ({sentence(words, 200)}): check spec.database.host, port and "
        "sslMode, that the server runs, and that a NetworkPolicy lets this pod through.",
    )


def _refuse_pooler(connection: Connection, server: Server) -> None:
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    if row and row[0] == connection.info.backend_pid:
        return
    raise RunFailed(
        Reason.POOLER_REFUSED,
        f"A connection pooler answers at {server.address}: a snapshot and a lock need a session of the server itself. "
        "Set spec.database.host and port to PostgreSQL, not to the pooler.",
    )


def lost(server: Server, error: psycopg.Error) -> RunFailed:
    """A session that worked has ended, or a statement on it failed."""
    code, words = error.sqlstate or "", sentence(server.redact(error.diag.message_primary or str(error)), 200)
    if code == "42501":
        return RunFailed(
            Reason.PERMISSION_DENIED,
            f"Role {server.role} on {server.address} lacks a right ({words}): GRANT it, or put another role into Secret "
            f"{server.planned.credentials_secret}.",
        )
    if code[:2] in _STATEMENT_AT_FAULT:
        return RunFailed(
            Reason.INTERNAL_ERROR, f"The server at {server.address} does not do what PostgreSQL does ({code}: {words})."
        )
    return RunFailed(
        Reason.SOURCE_CONNECTION_LOST,
        f"The connection to PostgreSQL at {server.address} was lost ({words}): the server was restarted, the session "
        "was ended there, or the network was cut.",
    )


_STATEMENT_AT_FAULT = {"0A", "22", "25", "42"}
