"""What is counted in the script of a dump is the rows, whatever names and values contain, and wherever the script is cut into chunks."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotenode_backup.contract.tables import DumpedTable
from quotenode_backup.runner.postgres import row_counter
from quotenode_backup.runner.postgres.row_counter import LONGEST_STATEMENT, RowCounter

ODD_NAMES = [
    "customers",
    "Order",
    'say "hi"',
    "it's",
    "a;b",
    "dot.dot",
    "(id) FROM stdin;",
    "x\nCOPY public.fake (id) FROM stdin;\n1\n\\.\n",
    "\\.",
    "\n\\.\n",
    "--",
    "$$",
    "Überweisung €",
    "",
]
ODD_ROWS = [
    "",
    "1\tone",
    "\\N",
    "\\\\.",
    "\\.x",
    "x\\.",
    ".",
    "'",
    '"',
    "COPY a.b (c) FROM stdin;",
    "-- a comment",
    "\\n",
]
HEADER = """--
-- PostgreSQL database dump
--

\\restrict 5Yc7

-- Dumped from database version 17.10
-- Dumped by pg_dump version 17.10

SET statement_timeout = 0;
SET client_encoding = '{encoding}';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET row_security = off;

"""
FOOTER = "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict 5Yc7\n\n"


@dataclass(frozen=True)
class Table:
    schema: str
    name: str
    columns: Sequence[str] = ("id",)
    rows: Sequence[str] = ()

    def script(self) -> str:
        """As pg_restore writes it."""
        columns = f"({', '.join(quoted(column) for column in self.columns)})" if self.columns else ""
        comment = f"--\n-- Data for Name: {one_line(self.name)}; Type: TABLE DATA; Schema: {one_line(self.schema)}; Owner: o\n--\n\n"
        rows = "".join(f"{row}\n" for row in self.rows)
        return f"{comment}COPY {quoted(self.schema)}.{quoted(self.name)} {columns} FROM stdin;\n{rows}\\.\n\n\n"

    def counted(self, encoding: str = "utf-8") -> DumpedTable:
        text = "".join(f"{row}\n" for row in self.rows).encode(encoding)
        digest = hashlib.sha256(text).hexdigest()
        return DumpedTable(schema_name=self.schema, name=self.name, rows=len(self.rows), sha256=digest)


def quoted(name: str) -> str:
    return name if name.isidentifier() and name.islower() and name.isascii() else '"' + name.replace('"', '""') + '"'


def one_line(name: str) -> str:
    return name.replace("\n", " ")


def setval(sequence: str) -> str:
    literal = f"public.{quoted(sequence)}".replace("'", "''")
    return f"--\n-- Name: {one_line(sequence)}; Type: SEQUENCE SET\n--\n\nSELECT pg_catalog.setval('{literal}', 7, true);\n\n\n"


def large_object(comment: str) -> str:
    literal = comment.replace("'", "''")
    return (
        "BEGIN;\n\nSELECT pg_catalog.lo_open('16385', 131072);\nSELECT pg_catalog.lowrite(0, '\\x5c2e0a');\n"
        "SELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n\n"
        f"COMMENT ON LARGE OBJECT 16385 IS '{literal}';\n\n"
    )


def whole(*parts: str, encoding: str = "UTF8") -> str:
    return HEADER.format(encoding=encoding) + "".join(parts) + FOOTER


def counted(script: bytes, cuts: Sequence[int] = ()) -> tuple[DumpedTable, ...] | None:
    counter, start = RowCounter(), 0
    for cut in [*sorted(cuts), len(script)]:
        counter.feed(memoryview(script)[start:cut])
        start = cut
    return counter.tables()


names = st.sampled_from(ODD_NAMES) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
rows = st.sampled_from(ODD_ROWS) | st.text(st.characters(codec="utf-8", exclude_characters="\0\n\\"), max_size=12)
tables = st.builds(Table, names, names, st.lists(names, max_size=3), st.lists(rows, max_size=6))
parts = tables | names.map(setval) | names.map(large_object)


@given(st.lists(parts, max_size=8), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_names_and_values_may_contain_anything_and_chunks_may_end_anywhere(
    made: list[Table | str], chance: random.Random
) -> None:
    text = whole(*(part if isinstance(part, str) else part.script() for part in made)).encode()
    expected = tuple(part.counted() for part in made if isinstance(part, Table))
    assert counted(text) == expected
    assert counted(text, [chance.randrange(len(text)) for _ in range(12)]) == expected
    assert counted(text, range(len(text))) == expected


def test_an_empty_table_is_counted_as_one_without_rows() -> None:
    table = Table("public", "empty")
    assert counted(whole(table.script()).encode()) == (table.counted(),)


def test_a_table_without_columns_has_rows_too() -> None:
    table = Table("public", "nothing", columns=(), rows=("", "", ""))
    assert counted(whole(table.script()).encode()) == (table.counted(),)


def test_names_are_read_in_the_encoding_of_the_dump() -> None:
    table = Table("public", "Überweisung", rows=("1\tMüller",))
    found = counted(whole(table.script(), encoding="LATIN1").encode("latin-1"))
    assert found == (table.counted("latin-1"),)


@pytest.mark.parametrize(("encoding", "name"), [("WIN1252", "€"), ("KOI8R", "ж"), ("EUC_JP", "表")])
def test_postgresqls_names_of_encodings_are_known(encoding: str, name: str) -> None:
    pythons = {"WIN1252": "cp1252", "KOI8R": "koi8-r", "EUC_JP": "euc-jp"}[encoding]
    found = counted(whole(Table("public", name).script(), encoding=encoding).encode(pythons))
    assert found
    assert found[0].name == name


def test_bytes_of_an_unknown_encoding_are_shown() -> None:
    found = counted(whole(Table("public", "ü").script(), encoding="SQL_ASCII").encode())
    assert found
    assert found[0].name == "\\xc3\\xbc"


def test_a_script_that_ends_among_rows_gives_no_counts() -> None:
    text = whole(Table("public", "t", rows=("1", "2")).script()).encode()
    assert counted(text[: text.index(b"2\n")]) is None


def test_a_copy_that_pg_restore_would_not_write_gives_no_counts() -> None:
    counter = RowCounter()
    counter.feed(b"COPY (SELECT 1) TO stdout;\n")
    assert counter.tables() is None
    assert counter.problem == "a COPY is not of a table"


def test_more_tables_than_a_list_may_have_give_no_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_counter, "MOST_TABLES", 2)
    two = [Table("public", name).script() for name in ("a", "b")]
    assert counted(whole(*two).encode())
    assert counted(whole(*two, Table("public", "c").script()).encode()) is None


def test_a_statement_without_an_end_does_not_fill_the_memory() -> None:
    counter = RowCounter()
    for _ in range(LONGEST_STATEMENT // (1 << 20) + 2):
        counter.feed(b"SELECT '" + b"x" * (1 << 20))
    assert counter.problem == "a statement does not end"
    assert counter.tables() is None
