"""The database that a restore loads beside the live one.

Nobody else gets into it: an exporter that looks at every database of the server would read a copy of production, and stand in the way of the swap.
"""

import logging
from dataclasses import dataclass

from psycopg import sql

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_names import scratch_name
from quotenode_backup.runner.postgres.restore import databases
from quotenode_backup.runner.postgres.restore.databases import Database, Locale
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.restore.marker import Marker
from quotenode_backup.runner.postgres.restore.statements import Part, StatementSession, name, sqlstate, statement, text
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import MAINTENANCE
from quotenode_backup.runner.process.display import escape

log = logging.getLogger(__name__)

_PROVIDER_SINCE, _RULES_SINCE, _BUILTIN_SINCE = 150000, 160000, 170000
_HBA_PATTERNS_SINCE = 160000
_DEFAULT_TABLESPACE = "pg_default"
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


@dataclass(frozen=True, slots=True)
class Like:
    """What the new database has in common with the live one."""

    owner: str
    tablespace: str
    locale: Locale

    @classmethod
    def of(cls, database: Database) -> "Like":
        return cls(database.owner, database.tablespace, database.locale)


def create(identities: Identities, like: Like, marker: Marker) -> str:
    """Makes an empty scratch database for the restore of `marker`, in place of one that an earlier attempt left. Gives its name."""
    scratch = scratch_name(marker.restore_uid)
    server = identities.privileged
    with StatementSession(server, MAINTENANCE) as session:
        if left := databases.find(session, scratch):
            _require_own(server, left, marker)
            drop(session, left)
        _create(session, identities, create_statement(scratch, like, session.server_version))
        _close_to_others(session, identities, scratch)
        session.do("COMMENT ON DATABASE {} IS {}", name(scratch), text(marker.to_comment()))
        session.do("ALTER DATABASE {} ALLOW_CONNECTIONS true", name(scratch))
        _require_admitted(session, identities, scratch)
    log.info("Created database %s", scratch)
    return scratch


def mark_complete(session: StatementSession, scratch: str, marker: Marker) -> Marker:
    """The last act of a load, by a session in the scratch database. Without it the database is never swapped in."""
    oid, started, has_unlogged = session.rows(_FACTS)[0]
    complete = marker.completed(oid, started, has_unlogged=has_unlogged)
    session.do("COMMENT ON DATABASE {} IS {}", name(scratch), text(complete.to_comment()))
    return complete


def claim(session: StatementSession, database: Database, attempt: int) -> Marker | None:
    """Takes a copy over that an earlier attempt has loaded, so that this earlier attempt, should it still be alive, cannot swap it in. None if there
    is no complete copy."""
    found = database.marker
    if not found or found.state != "Complete":
        return None
    if found.attempt > attempt:
        raise superseded(found.attempt)
    claimed = found.model_copy(update={"attempt": attempt})
    session.do("COMMENT ON DATABASE {} IS {}", name(database.name), text(claimed.to_comment()))
    return claimed


def remove(identities: Identities, restore_uid: str) -> None:
    """Drops the scratch database of a restore, if there is one."""
    with StatementSession(identities.privileged, MAINTENANCE) as session:
        left = databases.find(session, scratch_name(restore_uid))
        if left and _is_own(left, restore_uid):
            drop(session, left)


def drop(session: StatementSession, database: Database) -> None:
    """Whoever is still in it, such as pg_restore of a pod that is dead, is thrown out."""
    session.do("DROP DATABASE {} WITH (FORCE)", name(database.name))
    log.info("Dropped database %s", escape(database.name))


def _is_own(left: Database, restore_uid: str) -> bool:
    """A database without any comment is ours too: the name is, and an attempt may end before it can comment on it."""
    found = left.marker
    return found.restore_uid == restore_uid if found else left.comment is None


def _require_own(server: Server, left: Database, marker: Marker) -> None:
    found = left.marker
    if found and found.attempt > marker.attempt:
        raise superseded(found.attempt)
    if not _is_own(left, marker.restore_uid):
        raise RunFailed(
            Reason.DATABASE_IN_THE_WAY,
            f"Database {left.name} on {server.address}, whose name the restore needs, was not made by it: rename or drop that one.",
        )


def superseded(attempt: int) -> RunFailed:
    return RunFailed(
        Reason.SUPERSEDED,
        f"Attempt {attempt} of this restore has taken over, so this attempt ends without changing anything.",
    )


def create_statement(scratch: str, like: Like, server_version: int) -> sql.Composed:
    """Nobody can connect before the privileges are as they should be."""
    options = [
        statement("OWNER {}", name(like.owner)),
        statement("ENCODING {}", text(like.locale.encoding)),
        statement("LC_COLLATE {}", text(like.locale.collate)),
        statement("LC_CTYPE {}", text(like.locale.ctype)),
        *_provider_options(like.locale, server_version),
        *_tablespace_option(like.tablespace),
    ]
    joined = sql.SQL(" ").join(options)
    return statement("CREATE DATABASE {} TEMPLATE template0 ALLOW_CONNECTIONS false {}", name(scratch), joined)


def _tablespace_option(tablespace: str) -> list[sql.Composed]:
    """Whoever names the default one needs a privilege for it, and gets it anyway."""
    return [] if tablespace == _DEFAULT_TABLESPACE else [statement("TABLESPACE {}", name(tablespace))]


def _provider_options(locale: Locale, server_version: int) -> list[sql.Composed]:
    if server_version < _PROVIDER_SINCE:
        return []
    options = [statement("LOCALE_PROVIDER {}", name(_PROVIDERS[locale.provider]))]
    if locale.provider == "i":
        options.append(statement("ICU_LOCALE {}", text(locale.locale)))
    if locale.provider == "b" and server_version >= _BUILTIN_SINCE:
        options.append(statement("BUILTIN_LOCALE {}", text(locale.locale)))
    if locale.icu_rules and server_version >= _RULES_SINCE:
        options.append(statement("ICU_RULES {}", text(locale.icu_rules)))
    return options


def _create(session: StatementSession, identities: Identities, create: Part) -> None:
    assert isinstance(create, sql.Composed)
    try:
        session.run(create)
    except RunFailed as failure:
        raise _create_failure(session, identities, failure) from failure


def _create_failure(session: StatementSession, identities: Identities, failure: RunFailed) -> RunFailed:
    server = session.server
    match sqlstate(failure):
        case "42501":
            return RunFailed(
                Reason.PERMISSION_DENIED,
                f"Role {server.role} on {server.address} may not create a database that belongs to the owner of the live one: ALTER ROLE … "
                f"CREATEDB, GRANT it the owner's role, or {identities.remedy}.",
            )
        case "53100":
            return RunFailed(Reason.NO_SPACE, f"The volume of the server at {server.address} is full: enlarge it.")
        case _:
            return failure


def _close_to_others(session: StatementSession, identities: Identities, scratch: str) -> None:
    session.do("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", name(scratch))
    if identities.admin:
        session.do(
            "GRANT CONNECT, CREATE ON DATABASE {} TO {}", name(scratch), name(identities.admin.credentials.username)
        )


def _require_admitted(session: StatementSession, identities: Identities, scratch: str) -> None:
    """pg_hba.conf may name the live database only."""
    for server in filter(None, (identities.owner, identities.admin)):
        try:
            StatementSession(server, scratch).close()
        except RunFailed as failure:
            session.do("DROP DATABASE {}", name(scratch))
            raise _not_admitted(server, scratch, session.server_version, failure) from failure


def _not_admitted(server: Server, scratch: str, server_version: int, failure: RunFailed) -> RunFailed:
    if failure.reason is not Reason.CREDENTIALS_REFUSED:
        return failure
    names = '"/^qnr_[0-9a-f]{10}$"' if server_version >= _HBA_PATTERNS_SINCE else "all"
    return RunFailed(
        Reason.CREDENTIALS_REFUSED,
        f"pg_hba.conf of the server at {server.address} admits role {server.role} to other databases, but not to {scratch}, which the restore "
        f"loads: add a line such as `host {names} {server.role} all scram-sha-256` and reload the server.",
    )


_FACTS = """
    SELECT d.oid::bigint, pg_postmaster_start_time(), EXISTS (SELECT FROM pg_class c WHERE c.relkind = 'r' AND c.relpersistence = 'u')
    FROM pg_database d WHERE d.datname = current_database()
"""
