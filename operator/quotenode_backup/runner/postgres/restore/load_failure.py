"""What it means when pg_restore or psql fails to load a dump."""

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.dump_failure import CONNECTION_MESSAGES
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.process.pipeline import Exit

_LIVE_IS_UNTOUCHED = "the live database is untouched"


def load_failure(server: Server, scratch: str, failure: Exit) -> RunFailed:
    message = server.quote(_reasons(failure), 240)
    where = f"database {escape(scratch, 80)} on {server.address}"
    if "No space left on device" in failure.stderr:
        return RunFailed(
            Reason.NO_SPACE,
            f"The volume of the server at {server.address} was full while {where} was loaded ({message}): enlarge it.",
        )
    if any(known in failure.stderr for known in CONNECTION_MESSAGES):
        return RunFailed(
            Reason.SOURCE_CONNECTION_LOST,
            f"{failure.name} lost its connection to {where} ({message}); {_LIVE_IS_UNTOUCHED}.",
        )
    if "permission denied" in failure.stderr or "must be " in failure.stderr:
        return RunFailed(
            Reason.PERMISSION_DENIED,
            f"Role {server.role} may not create all that is in the dump ({message}): grant it that, or use the owner's role in Secret "
            f"{server.planned.credentials_secret}; {_LIVE_IS_UNTOUCHED}.",
        )
    if "does not appear to be a valid archive" in failure.stderr or "could not read from input file" in failure.stderr:
        return RunFailed(
            Reason.DUMP_UNREADABLE, f"The dump is damaged ({message}): restore another backup; {_LIVE_IS_UNTOUCHED}."
        )
    return RunFailed(
        Reason.LOAD_FAILED,
        f"{failure.name} ended with exit code {failure.code} while it loaded {where} ({message or 'without a message'}); {_LIVE_IS_UNTOUCHED}.",
    )


def _reasons(failure: Exit) -> str:
    lines = [line.removeprefix(f"{failure.name}: ").strip() for line in failure.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error: " in line or "ERROR: " in line]
    return "; ".join(errors[:2] or lines[-2:])
