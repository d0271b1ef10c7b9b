"""Everything that a dump has to carry, read in one snapshot."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psycopg import sql

from standin.database import Connection

TEXT_FORM = {
    "search_path": "",
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "quote_all_identifiers": "off",
}
"""Settings that the text of a value or a definition depends on."""

# A run that is a row of backup_logs writes it before its snapshot and again after it, so in live and restored data the rows of
# that one table are never the same, and nothing is lost by it. Its definition is compared like any other's.
HOLDING_ROWS = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND (n.nspname, c.relname) <> ('public', 'backup_logs')"""
STATE = sql.SQL("SELECT last_value, is_called FROM {sequence}")
SEQUENCES = "SELECT schemaname, sequencename FROM pg_sequences WHERE schemaname !~ '^pg_'"
NAMED_FILES = """
    SELECT path, sha256 FROM public.documents
    UNION ALL SELECT image_path, NULL FROM public.products WHERE image_path IS NOT NULL"""

# The sum of the rows' hashes: no order to rely on, and a row that is there twice counts twice.
CONTENT = sql.SQL("""
    SELECT count(*), coalesce(sum(('x' || left(h, 16))::bit(64)::bigint::numeric), 0)::text || '/'
                     || coalesce(sum(('x' || right(h, 16))::bit(64)::bigint::numeric), 0)::text
    FROM (SELECT md5(ROW(t.*)::text) AS h FROM ONLY {table} AS t) AS hashes""")

Fact = dict[str, Any]


def facts(conn: Connection) -> Iterator[Fact]:
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    for setting, value in TEXT_FORM.items():
        conn.execute("SELECT set_config(%s, %s, true)", (setting, value))
    yield from _definitions(conn)
    yield from _rows(conn)
    yield from _sequence_states(conn)


def named_files(conn: Connection) -> dict[str, str | None]:
    """Each path that a row of the stand-in names, with the hash that the row gives, if it gives one."""
    return dict(conn.execute(NAMED_FILES).fetchall())


def _definitions(conn: Connection) -> Iterator[Fact]:
    script = Path(__file__).with_name("facts.sql").read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- kind: (\w+)$", script, flags=re.MULTILINE)
    for kind, query in zip(parts[::2], parts[1::2], strict=True):
        for name, what in conn.execute(query.encode()):
            yield {"kind": kind, "name": name, "is": what}


def _rows(conn: Connection) -> Iterator[Fact]:
    for name in conn.execute(HOLDING_ROWS).fetchall():
        count, content = conn.execute(CONTENT.format(table=sql.Identifier(*name))).fetchone() or (0, "")
        yield {"kind": "rows", "name": list(name), "count": count, "content": content}


def _sequence_states(conn: Connection) -> Iterator[Fact]:
    for name in conn.execute(SEQUENCES).fetchall():
        state = conn.execute(STATE.format(sequence=sql.Identifier(*name))).fetchone()
        yield {"kind": "sequence state", "name": list(name), "is": state}
