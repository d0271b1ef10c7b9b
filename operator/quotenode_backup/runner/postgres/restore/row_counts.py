"""How many rows the tables of a copy have, and whether these are as many as the dump has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.restore.statements import StatementSession, name, statement
from quotenode_backup.runner.postgres.server import Server

Rows = Mapping[tuple[str, str], int]
"""By schema and table."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Counted:
    tables: int
    rows: int
    is_compared: bool
    """Whether it was known how many there must be."""


def count(session: StatementSession, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Without what inherits from a table, as pg_dump takes the rows."""
    found = {}
    for schema, table in tables:
        query = statement("SELECT count(*) FROM ONLY {}.{}", name(schema), name(table))
        found[schema, table] = int(session.one(query))
    return found


def compare(server: Server, found: Rows, expected: Rows | None) -> Counted:
    if expected is not None and (
        differing := [key for key in {**expected, **found} if found.get(key) != expected.get(key)]
    ):
        raise _differs(server, [_shown(key, found.get(key), expected.get(key)) for key in differing])
    return Counted(len(found), sum(found.values()), expected is not None)


def _shown(key: tuple[str, str], found: int | None, expected: int | None) -> str:
    return f"{'.'.join(key)} has {_number(found)} and should have {_number(expected)}"


def _number(rows: int | None) -> str:
    return "none that are known" if rows is None else str(rows)


def _differs(server: Server, shown: list[str]) -> RunFailed:
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return RunFailed(
        Reason.ROWS_DIFFER,
        f"After the load tables have other numbers of rows than the dump ({server.quote_name(', '.join(shown[:_NAMED]), 250)}{more}): the copy is "
        "dropped, and the live database is untouched.",
    )
