"""What it means when pg_dump fails.

pg_dump reports no SQLSTATE. Its own messages are English in the environment that it gets. Those of the server may be in any language.
"""

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.process.pipeline import Exit

LOCK_WAIT_SECONDS = 30
CONNECTION_MESSAGES = (
    "server closed the connection",
    "could not receive data",
    "could not send data",
    "SSL connection has been closed",
    "SSL SYSCALL error",
    "SSL error",
    "terminating connection",
    "connection to server at",
    "no connection to the server",
    "Connection timed out",
    "lost synchronization",
)


def dump_failure(server: Server, failure: Exit, *, has_waited: bool) -> RunFailed:
    """`has_waited`: whether pg_dump ran for as long as it waits for a lock."""
    stderr = failure.stderr
    message = server.quote(_reasons(stderr), 180)
    where = f"database {escape(server.planned.name, 80)} on {server.address}"
    if "permission denied" in stderr or "row-level security" in stderr:
        return RunFailed(
            Reason.PERMISSION_DENIED,
            f"Role {server.role} may not read all of {where} ({message}): GRANT what is missing, or use the owner's role in "
            f"Secret {server.planned.credentials_secret}.",
        )
    if any(known in stderr for known in CONNECTION_MESSAGES):
        return RunFailed(
            Reason.SOURCE_CONNECTION_LOST,
            f"pg_dump lost its connection to {where} ({message}): the server was restarted, the session was ended there, or "
            "the network was cut.",
        )
    if "out of shared memory" in stderr:
        return RunFailed(
            Reason.DUMP_FAILED,
            f"PostgreSQL has no room for the locks of all tables of {where} ({message}): raise max_locks_per_transaction.",
        )
    if has_waited and ("LOCK TABLE" in stderr or "lock timeout" in stderr):
        return RunFailed(
            Reason.TABLE_LOCKED,
            f"A table of {where} was locked for {LOCK_WAIT_SECONDS} s by another session ({message}): let the "
            "migration or maintenance end first.",
        )
    return RunFailed(
        Reason.DUMP_FAILED,
        f"pg_dump of {where} ended with exit code {failure.code} ({message or 'without a message'}).",
    )


def _reasons(stderr: str) -> str:
    """The lines that give the reason, without those that only quote a statement."""
    lines = [line.removeprefix("pg_dump: ") for line in stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith(("error: ", "detail: Error message"))]
    return "; ".join(reasons or lines[-2:])
