"""The list of a bundle's tables is read back as it was written, and nothing else is taken for one."""

import gzip
import json

import pytest

from quotenode_backup.contract.tables import LARGEST_LIST, MOST_TABLES, DumpedTable, parse_table_list, table_list

TABLES = [
    DumpedTable(schema_name="public", name="customers", rows=5, sha256="a" * 64),
    DumpedTable(schema_name='o"dd', name="new\nline", rows=0, sha256="b" * 64),
]


@pytest.mark.parametrize("listed", [TABLES, []])
def test_the_list_is_read_as_it_was_written(listed: list[DumpedTable]) -> None:
    assert parse_table_list(table_list(listed)) == tuple(listed)


def test_the_list_has_a_line_for_each_table_that_other_programs_can_read() -> None:
    lines = gzip.decompress(table_list(TABLES)).decode().splitlines()
    assert json.loads(lines[1].rstrip(",")) == {
        "schemaName": "public",
        "name": "customers",
        "rows": 5,
        "sha256": "a" * 64,
    }


def test_the_same_tables_always_give_the_same_bytes() -> None:
    assert table_list(TABLES) == table_list(list(TABLES))


GZIP_HEADER = 10
NO_BLOCK = b"\x07"
"""No deflate block begins with this byte."""
NO_LISTS = {
    "nothing": b"",
    "not gzip": b"not gzip",
    "cut off": table_list(TABLES)[:-1],
    "damaged": table_list(TABLES)[:GZIP_HEADER] + NO_BLOCK + table_list(TABLES)[GZIP_HEADER + 1 :],
    "no tables": gzip.compress(b"{}"),
    "no table": gzip.compress(b'{"tables": [{"schemaName": "a", "name": "b", "rows": -1, "sha256": ""}]}'),
    "a number as text": gzip.compress(
        b'{"tables": [{"schemaName": "a", "name": "b", "rows": "1", "sha256": "%s"}]}' % (b"a" * 64)
    ),
    "not text": gzip.compress(b'{"tables": "\xff"}'),
    "nested too deeply": gzip.compress(b"[" * 100_000),
}


@pytest.mark.parametrize("content", NO_LISTS.values(), ids=NO_LISTS.keys())
def test_anything_else_is_not_a_list(content: bytes) -> None:
    assert parse_table_list(content) is None


def test_a_list_of_too_many_tables_is_refused_before_it_fills_the_memory() -> None:
    table = json.dumps(TABLES[0].model_dump(by_alias=True)).encode()
    assert parse_table_list(gzip.compress(b'{"tables": [%s]}' % b",".join([table] * (MOST_TABLES + 1)))) is None


def test_a_list_that_decompresses_to_more_than_any_list_is_refused() -> None:
    assert parse_table_list(gzip.compress(b'{"tables": []}' + b" " * LARGEST_LIST, compresslevel=1)) is None


def test_the_longest_names_that_postgresql_allows_fit() -> None:
    name = "\\xff" * 63
    table = DumpedTable(schema_name=name, name=name, rows=1 << 60, sha256="a" * 64)
    assert len(gzip.decompress(table_list([table] * 2))) < 2 * LARGEST_LIST / MOST_TABLES
