"""What would keep a restore from being loaded, as far as the server's catalogs tell. Nothing is changed, and every obstacle is named at once."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.dump_head import DumpHead
from quotenode_backup.runner.postgres.restore import dumped_names
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import Session

_UNSUPPORTED = {
    "citus": "the distribution of its tables",
    "pg_cron": "its jobs, which another database may hold",
    "timescaledb": "its catalog, which must be loaded by its own functions",
}
_NAMED = 5
"""How many of the same kind a sentence names."""


@dataclass(frozen=True, slots=True)
class Role:
    """The role that signed in."""

    name: str
    is_super: bool
    may_create_databases: bool
    has_owner: bool
    """Whether it has the privileges of the live database's owner."""


@dataclass(frozen=True, slots=True)
class OtherRole:
    name: str
    may_become: bool
    """Whether the restoring role may give it objects."""


@dataclass(frozen=True, slots=True)
class Offered:
    """An extension that the server offers."""

    name: str
    needs_super: bool
    is_trusted: bool
    is_installed: bool
    """In the live database."""


@dataclass(frozen=True, slots=True)
class LiveSetting:
    name: str
    role: str | None
    may_copy: bool


def role(session: Session, owner: str) -> Role:
    return Role(*session.rows(_ROLE, owner=owner)[0])


def other_roles(session: Session) -> list[OtherRole]:
    how = "SET" if session.server_version >= 160000 else "MEMBER"
    return [OtherRole(*row) for row in session.rows(_ROLES, how=how)]


def offered(session: Session) -> list[Offered]:
    """By a session in the live database."""
    return [Offered(*row) for row in session.rows(_OFFERED)]


def live_settings(session: Session, oid: int) -> list[LiveSetting]:
    """By a session of the role that will copy them."""
    version = session.server_version
    granted = "has_parameter_privilege(n.name, 'SET')" if version >= 150000 else "false"
    admin = "pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')" if version >= 160000 else "true"
    return [LiveSetting(*row) for row in session.rows(_SETTINGS.format(granted=granted, admin=admin), oid=oid)]


def version_obstacles(server: Server, head: DumpHead, server_version: int) -> Iterator[RunFailed]:
    if head.server_major > server_version // 10000:
        yield RunFailed(
            Reason.SERVER_TOO_OLD,
            f"The dump is of PostgreSQL {head.server_major}, and the server at {server.address} is PostgreSQL {server_version // 10000}: "
            "upgrade the server first.",
        )


def role_obstacles(server: Server, head: DumpHead, me: Role, others: Collection[OtherRole]) -> Iterator[RunFailed]:
    """`me`: the role that loads."""
    known = {other.name: other for other in others}
    if missing := sorted(dumped_names.roles(head) - known.keys()):
        yield RunFailed(
            Reason.ROLE_MISSING,
            f"The dump names roles that the server at {server.address} does not have: {_listed(server, missing, 'CREATE ROLE {};')} "
            "Passwords are in no dump, and are to be set by hand.",
        )
    foreign = sorted(o for o in dumped_names.owners(head) & known.keys() if o != me.name and not known[o].may_become)
    if foreign and not me.is_super:
        grants = _listed(server, foreign, f"GRANT {{}} TO {_quoted(me.name)};")
        yield RunFailed(
            Reason.ROLE_MISSING,
            f"Role {server.role} on {server.address} loads the dump, and may not give objects to the roles that own them: {grants}",
        )


def extension_obstacles(
    server: Server, head: DumpHead, me: Role, admin: Role | None, available: Collection[Offered]
) -> Iterator[RunFailed]:
    known = {extension.name: extension for extension in available}
    wanted = [extension.name for extension in dumped_names.extensions(head)]
    for name in wanted:
        if name in _UNSUPPORTED:
            lost = f"The dump holds extension {name}, and a dump does not hold {_UNSUPPORTED[name]}"
            yield RunFailed(Reason.EXTENSION_UNSUPPORTED, f"{lost}: restore it by its own documentation.")
    if missing := [name for name in wanted if name not in known]:
        yield RunFailed(
            Reason.EXTENSION_MISSING,
            f"The dump needs extensions that the server at {server.address} does not offer: {_listed(server, missing, '{}', ', ')}: install "
            "their packages on the server.",
        )
    refused = [name for name in wanted if name in known and not _may_create(known[name], me, admin)]
    if refused:
        yield RunFailed(
            Reason.EXTENSION_MISSING,
            f"Role {server.role} on {server.address} may not create extensions that the dump needs ({_listed(server, refused, '{}', ', ')}), and "
            "only those that the live database has are created by the administrator's role: CREATE EXTENSION in the live database, and set "
            "spec.database.adminCredentialsSecretRef.",
        )


def for_admin(head: DumpHead, me: Role, available: Collection[Offered]) -> tuple[dumped_names.DumpedExtension, ...]:
    """The extensions that the administrator's role creates before the load."""
    known = {extension.name: extension for extension in available}
    return tuple(
        extension
        for extension in dumped_names.extensions(head)
        if extension.name in known and not _owner_may_create(known[extension.name], me)
    )


def _owner_may_create(extension: Offered, me: Role) -> bool:
    return me.is_super or extension.is_trusted or not extension.needs_super


def _may_create(extension: Offered, me: Role, admin: Role | None) -> bool:
    """Anybody can write a bundle, so the administrator's role creates nothing because of a bundle alone."""
    return _owner_may_create(extension, me) or bool(admin and admin.is_super and extension.is_installed)


def privilege_obstacles(identities: Identities, who: Role) -> Iterator[RunFailed]:
    """`who`: the role that creates and renames the databases."""
    if who.is_super or (who.may_create_databases and who.has_owner):
        return
    lacking = "has no CREATEDB" if who.has_owner else "is not a member of the role that owns the live database"
    server = identities.privileged
    yield RunFailed(
        Reason.PERMISSION_DENIED,
        f"Role {server.role} on {server.address} may not create and rename the databases of a restore, since it {lacking}: grant it that, or "
        f"{identities.remedy}.",
    )


def setting_obstacles(identities: Identities, settings: Collection[LiveSetting]) -> Iterator[RunFailed]:
    server = identities.privileged
    lost = [f"{s.name} of {s.role or 'the database'}" for s in settings if not s.may_copy]
    if lost:
        yield RunFailed(
            Reason.PERMISSION_DENIED,
            f"Role {server.role} on {server.address} may not copy settings of the live database, so they would be lost with the swap "
            f"({_listed(server, lost, '{}', ', ', quote=False)}): {identities.remedy}.",
        )


def _listed(server: Server, names: Collection[str], form: str, separator: str = " ", *, quote: bool = True) -> str:
    shown = [form.format(_quoted(name) if quote else name) for name in list(names)[:_NAMED]]
    more = f"{separator}and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return server.quote_name(separator.join(shown), 250) + more


def _quoted(name: str) -> str:
    return name if name.isidentifier() and name.islower() and name.isascii() else '"' + name.replace('"', '""') + '"'


_ROLE = """
    SELECT r.rolname::text, r.rolsuper, r.rolcreatedb, coalesce((SELECT pg_has_role(o.oid, 'USAGE') FROM pg_roles o WHERE o.rolname = %(owner)s), false)
    FROM pg_roles r WHERE r.rolname = current_user
"""
_ROLES = "SELECT rolname::text, pg_has_role(oid, %(how)s) FROM pg_roles"
_OFFERED = """
    SELECT e.name::text, v.superuser, v.trusted, EXISTS (SELECT FROM pg_extension i WHERE i.extname = e.name)
    FROM pg_available_extensions e JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
"""
# A setting that pg_settings does not show belongs to a module, or only superusers may see it.
_SETTINGS = """
    SELECT n.name, r.rolname::text,
           me.rolsuper
           OR (coalesce(p.context = 'user', position('.' in n.name) > 0) OR {granted})
              AND (r.oid IS NULL OR r.rolname = me.rolname OR me.rolcreaterole AND NOT r.rolsuper AND {admin})
    FROM pg_db_role_setting s
    CROSS JOIN LATERAL (SELECT split_part(entry, '=', 1) AS name FROM unnest(s.setconfig) AS entry) AS n
    JOIN pg_roles me ON me.rolname = current_user
    LEFT JOIN pg_roles r ON r.oid = s.setrole
    LEFT JOIN pg_settings p ON lower(p.name) = lower(n.name)
    WHERE s.setdatabase = %(oid)s AND (s.setrole = 0 OR r.oid IS NOT NULL)
"""
