"""What it means when a server cannot be reached, refuses a connection, or goes away: there is a reason and a sentence for each.

Before a session has begun, nobody knows who answers, so no message that comes over the network is quoted. The SQLSTATE, and the messages that come
from libpq itself, only select one of our own sentences.
"""

import re

import psycopg

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.process.display import escape

OTHER_AUTH_METHOD = "authentication method requirement"
"""How libpq's message begins when the server asks for the password by a method that `require_auth` does not allow."""
_IN_CLEAR = "requested a cleartext password"
_CODES = {
    "53300": "it has no connection left: raise max_connections, or CONNECTION LIMIT of role or database",
    "57P03": "it is starting up, shutting down or in recovery",
}
_CAUSES = {
    "could not translate host name": "its name has no address",
    "Connection refused": "nothing listens there",
    "timeout expired": "it gave no answer in time",
    "Connection timed out": "it gave no answer in time",
    "No route to host": "the network has no route to it",
    "Network is unreachable": "the network has no route to it",
    "does not match host name": "its certificate is for another host name",
    "certificate": "its certificate was not signed by the authority in spec.database.caSecretRef",
    "does not support SSL": "it does not support SSL, which sslMode requires",
    "SSL": "the SSL handshake failed",
    "closed the connection unexpectedly": "it closed the connection at once",
}
"""Parts of libpq's own messages, and what they mean. The more specific ones come first."""
_STATEMENT_AT_FAULT = {"0A", "22", "25", "42"}


def refusal(server: Server, database: str, message: str) -> RunFailed:
    """What libpq's verbose message about a failed connection means."""
    if _IN_CLEAR in message:
        return _in_clear(server)
    found = re.search(r":  ([0-9A-Z]{5}): ", message)  # libpq writes two spaces after a severity, in any language
    if not found:
        cause = next(
            (cause for part, cause in _CAUSES.items() if part in message), "what answers there is not PostgreSQL"
        )
        return unreachable(server, cause)
    code, secret, name = found[1], server.planned.credentials_secret, escape(database, 80)
    match code:
        case "28P01" | "28000":
            return RunFailed(
                Reason.CREDENTIALS_REFUSED,
                f"PostgreSQL at {server.address} refused role {server.role} with the password from Secret {secret} "
                f"({code}): put the right role and password into the Secret, or let pg_hba.conf admit them.",
            )
        case "3D000":
            is_target = database == server.planned.name
            remedy = "correct spec.database.name" if is_target else "create it, since a backup holds its lock there"
            return RunFailed(Reason.DATABASE_NOT_FOUND, f"There is no database {name} on {server.address}: {remedy}.")
        case "42501":
            return RunFailed(
                Reason.PERMISSION_DENIED,
                f"Role {server.role} may not connect to database {name} on {server.address}: "
                f"GRANT CONNECT ON DATABASE to it, or use another role in Secret {secret}.",
            )
        case "53300":
            return unreachable(server, f"for database {name} {_CODES[code]}")
        case _:
            return unreachable(server, _CODES.get(code, f"it answered with SQLSTATE {code}"))


def _in_clear(server: Server) -> RunFailed:
    return RunFailed(
        Reason.SERVER_UNVERIFIED,
        f"The server at {server.address} asks for the password in cleartext, and gets it only if its certificate is verified: set "
        "spec.database.sslMode to VerifyFull with caSecretRef, or let the server use scram-sha-256.",
    )


def unreachable(server: Server, cause: str) -> RunFailed:
    return RunFailed(
        Reason.SOURCE_UNREACHABLE,
        f"PostgreSQL at {server.address} cannot be reached ({cause}): check spec.database.host, port and "
        "sslMode, that the server runs, and that a NetworkPolicy lets this pod through.",
    )


def session_failure(server: Server, error: psycopg.Error) -> RunFailed:
    """What it means when a session ends, or when a statement fails."""
    code, message = error.sqlstate or "", server.quote(error.diag.message_primary or str(error), 200)
    if code == "42501":
        return RunFailed(
            Reason.PERMISSION_DENIED,
            f"Role {server.role} on {server.address} lacks a privilege ({message}): GRANT it, or put another role into Secret "
            f"{server.planned.credentials_secret}.",
        )
    if code == "55P03":
        return RunFailed(
            Reason.TABLE_LOCKED,
            f"The catalogs of database {escape(server.planned.name, 80)} on {server.address} are locked by another session, for example by "
            "VACUUM FULL or REINDEX of a catalog: let that end first.",
        )
    if code[:2] in _STATEMENT_AT_FAULT:
        return RunFailed(
            Reason.INTERNAL_ERROR,
            f"The server at {server.address} does not behave as PostgreSQL does ({code}: {message}).",
        )
    return RunFailed(
        Reason.SOURCE_CONNECTION_LOST,
        f"The connection to PostgreSQL at {server.address} was lost ({message}): the server was restarted, the session "
        "was ended there, or the network was cut.",
    )
