"""What keeps a database from being renamed, or would stay with it under its new name: sessions, prepared transactions, replication.

It is looked at long before the application is stopped, and again right before that, since a refusal costs least then.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import Session

_NAMED = 3


@dataclass(frozen=True, slots=True)
class ForeignSession:
    """A session in the live database that our role may not end."""

    pid: int
    role: str
    application: str
    is_super: bool


@dataclass(frozen=True, slots=True)
class PreparedTransaction:
    gid: str
    role: str


@dataclass(frozen=True, slots=True)
class Replication:
    kind: str
    """`slot` or `subscription`."""
    name: str


def foreign_sessions(session: Session, oids: Collection[int]) -> list[ForeignSession]:
    """By the role that will rename the databases."""
    return [ForeignSession(*row) for row in session.rows(_SESSIONS, oids=list(oids))]


def prepared_transactions(session: Session, oids: Collection[int]) -> list[PreparedTransaction]:
    return [PreparedTransaction(*row) for row in session.rows(_PREPARED, oids=list(oids))]


def replication(session: Session, oids: Collection[int]) -> list[Replication]:
    return [Replication(*row) for row in session.rows(_REPLICATION, oids=list(oids))]


def obstacles(
    session: Session, identities: Identities, oids: Collection[int], *, allow_replication_loss: bool
) -> list[RunFailed]:
    found = [
        *session_obstacles(identities, foreign_sessions(session, oids)),
        *prepared_obstacles(session.server, prepared_transactions(session, oids)),
    ]
    if not allow_replication_loss:
        found += replication_obstacles(session.server, replication(session, oids))
    return found


def session_obstacles(identities: Identities, sessions: Collection[ForeignSession]) -> Iterator[RunFailed]:
    server = identities.privileged
    of_supers = [one for one in sessions if one.is_super]
    if of_supers:
        yield _in_the_way(server, of_supers, f"only a superuser can end them: end them, or {identities.remedy}")
    if others := [one for one in sessions if not one.is_super]:
        yield _in_the_way(server, others, f"GRANT pg_signal_backend TO {server.role}, end them, or {identities.remedy}")


def _in_the_way(server: Server, sessions: Collection[ForeignSession], remedy: str) -> RunFailed:
    shown = ", ".join(
        f"session {one.pid} of role {server.quote_name(one.role, 63)} ({server.quote_name(one.application or '-', 40)})"
        for one in list(sessions)[:_NAMED]
    )
    more = f" and {len(sessions) - _NAMED} more" if len(sessions) > _NAMED else ""
    return RunFailed(
        Reason.SESSION_IN_THE_WAY,
        f"Sessions of roles that role {server.role} may not end are connected to the live database on {server.address}, which then cannot be "
        f"renamed ({shown}{more}): {remedy}.",
    )


def prepared_obstacles(server: Server, prepared: Collection[PreparedTransaction]) -> Iterator[RunFailed]:
    if prepared:
        shown = ", ".join(f"{one.gid} of role {one.role}" for one in list(prepared)[:_NAMED])
        yield RunFailed(
            Reason.SESSION_IN_THE_WAY,
            f"The live database on {server.address} has prepared transactions and cannot be renamed ({server.quote_name(shown, 200)}): COMMIT "
            "PREPARED or ROLLBACK PREPARED them.",
        )


def replication_obstacles(server: Server, found: Collection[Replication]) -> Iterator[RunFailed]:
    if found:
        shown = ", ".join(f"{one.kind} {one.name}" for one in list(found)[:_NAMED])
        yield RunFailed(
            Reason.REPLICATION_IN_USE,
            f"The live database on {server.address} is replicated logically ({server.quote_name(shown, 200)}): that stays with the replaced "
            "database and disappears with it. Remove it and set it up again after the restore, or set "
            "spec.database.allowReplicationLoss.",
        )


# Sessions of other roles hide what they are, but never whose they are. Sessions without a role are the server's own, and leave by themselves.
_SESSIONS = """
    SELECT a.pid, a.usename::text, coalesce(a.application_name, ''), coalesce(r.rolsuper, true)
    FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid JOIN pg_roles me ON me.rolname = current_user
    WHERE a.datid = ANY(%(oids)s::oid[]) AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()
      AND NOT (me.rolsuper OR NOT coalesce(r.rolsuper, true)
               AND (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))
    ORDER BY 1
"""
_PREPARED = """
    SELECT p.gid, p.owner::text FROM pg_prepared_xacts p JOIN pg_database d ON d.datname = p.database
    WHERE d.oid = ANY(%(oids)s::oid[]) ORDER BY 1
"""
_REPLICATION = """
    SELECT 'slot', s.slot_name::text FROM pg_replication_slots s WHERE s.datoid = ANY(%(oids)s::oid[])
    UNION ALL
    SELECT 'subscription', s.subname::text FROM pg_subscription s WHERE s.subdbid = ANY(%(oids)s::oid[])
    ORDER BY 1, 2
"""
