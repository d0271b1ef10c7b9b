"""What a database has beside its content, and what does not follow a rename: settings, privileges and the limit of connections."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.runner.postgres.restore.statements import Part, StatementSession, name, statement, text
from quotenode_backup.runner.postgres.sessions import Session

_LISTS = {
    "local_preload_libraries",
    "oauth_validator_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}
"""Settings whose values are lists of quoted names: such a list must be given as several values."""


@dataclass(frozen=True, slots=True)
class Setting:
    role: str | None
    """None: for every role."""
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Grant:
    grantee: str | None
    """None: PUBLIC."""
    privilege: str
    is_grantable: bool


@dataclass(frozen=True, slots=True)
class Properties:
    connection_limit: int
    settings: tuple[Setting, ...]
    grants: tuple[Grant, ...]


def read(session: Session, oid: int) -> Properties:
    [(limit,)] = session.rows("SELECT datconnlimit FROM pg_database WHERE oid = %(oid)s", oid=oid)
    settings = (Setting(role, *entry.split("=", 1)) for role, entry in session.rows(_SETTINGS, oid=oid))
    grants = (Grant(*row) for row in session.rows(_GRANTS, oid=oid))
    return Properties(limit, tuple(settings), tuple(grants))


def copy(session: StatementSession, source_oid: int, target_oid: int, target: str) -> None:
    """Gives database `target` what the other one has. Within a transaction it is all or nothing."""
    for one in statements(read(session, source_oid), read(session, target_oid), target):
        session.run(one)


def rehearse(session: StatementSession, source_oid: int, target_oid: int, target: str) -> RunFailed | None:
    """Why the properties could not be copied. Nothing stays of it, so that the scratch database remains closed until the swap."""
    session.do("BEGIN")
    try:
        copy(session, source_oid, target_oid, target)
    except RunFailed as failure:
        return failure
    finally:
        session.do("ROLLBACK")
    return None


def statements(wanted: Properties, present: Properties, target: str) -> Iterator[sql.Composed]:
    database = name(target)
    for role in dict.fromkeys(setting.role for setting in present.settings):
        yield statement("{} RESET ALL", _whose(role, database))
    for setting in wanted.settings:
        yield statement("{} SET {} TO {}", _whose(setting.role, database), name(setting.name), _value(setting))
    for grantee in dict.fromkeys([None, *(grant.grantee for grant in present.grants)]):
        yield statement("REVOKE ALL ON DATABASE {} FROM {}", database, _grantee(grantee))
    for grant in wanted.grants:
        option = sql.SQL(" WITH GRANT OPTION" if grant.is_grantable else "")
        privilege = sql.SQL(_PRIVILEGES[grant.privilege])
        yield statement("GRANT {} ON DATABASE {} TO {}{}", privilege, database, _grantee(grant.grantee), option)
    yield statement("ALTER DATABASE {} CONNECTION LIMIT {}", database, sql.Literal(wanted.connection_limit))


def _whose(role: str | None, database: Part) -> Part:
    if role is None:
        return statement("ALTER DATABASE {}", database)
    return statement("ALTER ROLE {} IN DATABASE {}", name(role), database)


def _grantee(role: str | None) -> Part:
    return sql.SQL("PUBLIC") if role is None else name(role)


def _value(setting: Setting) -> Part:
    if setting.name.lower() not in _LISTS:
        return text(setting.value)
    return sql.SQL(", ").join(map(text, split_list(setting.value) or [""]))


def split_list(value: str) -> Sequence[str]:
    """The names of a list such as `"$user", public`, as PostgreSQL splits it."""
    found, rest = [], value.strip()
    while rest:
        if rest.startswith('"'):
            item, rest = _quoted(rest)
        else:
            item, _, after = rest.partition(",")
            item, rest = item.strip(), f",{after}" if "," in rest else ""
        found.append(item)
        rest = rest.strip().removeprefix(",").strip()
    return found


def _quoted(rest: str) -> tuple[str, str]:
    item, rest = "", rest[1:]
    while True:
        before, _, rest = rest.partition('"')
        item += before
        if not rest.startswith('"'):
            return item, rest
        item, rest = f'{item}"', rest[1:]


_PRIVILEGES = {"CONNECT": "CONNECT", "CREATE": "CREATE", "TEMPORARY": "TEMPORARY"}
_SETTINGS = """
    SELECT r.rolname::text, unnest(s.setconfig) FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
    WHERE s.setdatabase = %(oid)s AND (s.setrole = 0 OR r.oid IS NOT NULL) ORDER BY 1 NULLS FIRST
"""
_GRANTS = """
    SELECT r.rolname::text, a.privilege_type, bool_or(a.is_grantable)
    FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE d.oid = %(oid)s AND (a.grantee = 0 OR r.oid IS NOT NULL) GROUP BY 1, 2 ORDER BY 1 NULLS FIRST, 2
"""
