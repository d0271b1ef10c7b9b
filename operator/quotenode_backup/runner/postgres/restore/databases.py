"""The databases of a server, as pg_database describes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_names import is_kept_name, is_scratch_name
from quotenode_backup.runner.postgres.restore.marker import Marker, parse_marker
from quotenode_backup.runner.postgres.sessions import Session
from quotenode_backup.runner.process.display import escape


@dataclass(frozen=True, slots=True)
class Locale:
    """What CREATE DATABASE is told. Not every server knows all of it."""

    encoding: str
    collate: str
    ctype: str
    provider: str = "c"
    """libc (`c`), ICU (`i`) or PostgreSQL itself (`b`), as in pg_database."""
    locale: str | None = None
    """Of ICU or of PostgreSQL itself."""
    icu_rules: str | None = None


@dataclass(frozen=True, slots=True)
class Database:
    oid: int
    name: str
    owner: str
    tablespace: str
    comment: str | None
    locale: Locale

    @property
    def marker(self) -> Marker | None:
        """None unless both the name and the comment are ours."""
        marker = parse_marker(self.comment)
        if not isinstance(marker, Marker):
            return None
        has_our_name = is_kept_name(self.name) if marker.state == "Kept" else is_scratch_name(self.name)
        return marker if has_our_name else None


def find(session: Session, name: str) -> Database | None:
    return next(iter(_read(session, "d.datname = %(name)s", name=name)), None)


def require(session: Session, name: str) -> Database:
    if found := find(session, name):
        return found
    raise RunFailed(
        Reason.DATABASE_NOT_FOUND,
        f"There is no database {escape(name, 80)} on {session.server.address}: correct spec.database.name.",
    )


def marked(session: Session) -> list[Database]:
    """All databases that restores have left."""
    return [database for database in _read(session, "d.datname ~ %(ours)s", ours=_OURS) if database.marker]


def _read(session: Session, condition: str, **values: str) -> Sequence[Database]:
    return [_database(*row) for row in session.rows(f"{_DATABASES} WHERE {condition} ORDER BY d.oid", **values)]


def _database(
    oid: int, name: str, owner: str, tablespace: str, comment: str | None, encoding: str, row: dict[str, str | None]
) -> Database:
    locale = Locale(
        encoding,
        row["datcollate"] or "",
        row["datctype"] or "",
        row.get("datlocprovider") or "c",
        row.get("datlocale") or row.get("daticulocale"),
        row.get("daticurules"),
    )
    return Database(oid, name, owner, tablespace, comment, locale)


_OURS = "^qnr_[0-9a-f]{10}$|_before_[0-9a-f]{10}$"
# Each major has other columns, which is why the row is asked for as JSON.
_DATABASES = """
    SELECT d.oid::bigint, d.datname::text, pg_get_userbyid(d.datdba)::text, t.spcname::text, shobj_description(d.oid, 'pg_database'),
           pg_encoding_to_char(d.encoding)::text, to_jsonb(d) - 'datacl'
    FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
"""
