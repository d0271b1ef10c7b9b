"""Counts the rows of each table in a dump, and hashes them, while pg_restore writes the dump's data as a script.

The script must be of the section `data` alone. It has no bodies of functions, which could contain any text, and so its statements can be told apart
by their quotes: PostgreSQL's programs write every quote within a literal or a name twice, whatever `standard_conforming_strings` says. Between COPY
and the line `\\.` each line is a row, since COPY writes a line break within a value as `\\n`.

The rows pass through `find`, `count` and a hash, which work through whole chunks in C.
"""

import codecs
import hashlib
import re
from typing import NamedTuple

from quotenode_backup.contract.tables import MOST_TABLES, DumpedTable

LONGEST_STATEMENT = 16 << 20
"""Bytes. The longest that pg_restore writes are pieces of large objects, of 32 KiB."""
_END_OF_ROWS = b"\n\\.\n"
_ITEM = re.compile(
    rb"""
      \s++                                                  # what is between statements
    | --[^\n]*+\n                                           # a comment
    | \\[^\n]*+\n                                           # a command to psql, such as \restrict
    | (?!--|\\) (?: [^'";]++ | '[^']*+' | "[^"]*+" )*+ ;    # a statement
    """,
    re.VERBOSE,
)
_NAME = rb'("(?:[^"]|"")*+"|[^\s".(;]++)'
_COPY = re.compile(rb"COPY " + _NAME + rb"\." + _NAME + rb" (?:\(.+\))? FROM stdin;", re.DOTALL)
_ENCODING = re.compile(rb"SET client_encoding = '(\w+)';")
_PYTHONS_NAMES = {"KOI8R": "koi8-r", "KOI8U": "koi8-u", "SQL_ASCII": "ascii"}


class NotUnderstood(Exception):
    """The script is not as pg_restore writes it."""


class _Table(NamedTuple):
    schema: str
    name: str


class RowCounter:
    """Takes a script in chunks of any size. It never raises: what is odd about the script is in `problem`, and then there are no counts."""

    def __init__(self) -> None:
        self.problem = ""
        self._counted: list[DumpedTable] = []
        self._encoding = "utf-8"
        self._table: _Table | None = None
        """The table whose rows are being read."""
        self._rows, self._hash = 0, hashlib.sha256()
        self._rest = b""
        """What could not be used yet. Within rows its first byte was used, and may begin the end of the rows."""

    def feed(self, chunk: bytes | memoryview) -> None:
        if self.problem:
            return
        try:
            self._take(b"".join((self._rest, chunk)))
        except Exception as error:  # noqa: BLE001 - no backup fails because its rows were not counted
            self.problem = str(error) if isinstance(error, NotUnderstood) else type(error).__name__

    def tables(self) -> tuple[DumpedTable, ...] | None:
        """In the order of the script, whose end this must be. None if the script was not understood."""
        if not self.problem and (self._table or self._rest):
            self.problem = "it ends too early"
        return None if self.problem else tuple(self._counted)

    def _take(self, data: bytes) -> None:
        position, after = -1, 0
        while after > position:
            position = after
            after = self._after_rows(data, position) if self._table else self._after_item(data, position)
        self._rest = data[position:]
        if len(self._rest) > LONGEST_STATEMENT:
            raise NotUnderstood("a statement does not end")

    def _after_item(self, data: bytes, position: int) -> int:
        """The position after the next item between the rows of tables, or the same position if the item is not complete."""
        item = _ITEM.match(data, position)
        if not item:
            return position
        statement = item[0]
        if statement.startswith(b"COPY "):
            self._begin(statement)
        elif encoding := _ENCODING.fullmatch(statement):
            self._encoding = _pythons_name(encoding[1].decode())
        return item.end()

    def _begin(self, statement: bytes) -> None:
        copy = _COPY.fullmatch(statement)
        if not copy:
            raise NotUnderstood("a COPY is not of a table")
        if len(self._counted) == MOST_TABLES:
            raise NotUnderstood(f"there are more than {MOST_TABLES} tables")
        self._table = _Table(self._decoded(copy[1]), self._decoded(copy[2]))
        self._rows, self._hash = 0, hashlib.sha256()

    def _decoded(self, name: bytes) -> str:
        bare = name[1:-1].replace(b'""', b'"') if name.startswith(b'"') else name
        return bare.decode(self._encoding, "backslashreplace")

    def _after_rows(self, data: bytes, position: int) -> int:
        """`position`: of the last byte that was used, which is a line break where the rows begin. The position after the end of the rows; or that of
        the last byte that is used now, after which there is less than a whole end of rows."""
        end = data.find(_END_OF_ROWS, position)
        used = end if end >= 0 else max(position, len(data) - len(_END_OF_ROWS) + 1)
        self._rows += data.count(b"\n", position + 1, used + 1)
        self._hash.update(memoryview(data)[position + 1 : used + 1])
        if end < 0:
            return used
        self._finish()
        return end + len(_END_OF_ROWS)

    def _finish(self) -> None:
        assert self._table
        schema, name = self._table
        found = DumpedTable(schema_name=schema, name=name, rows=self._rows, sha256=self._hash.hexdigest())
        self._counted.append(found)
        self._table = None


def _pythons_name(encoding: str) -> str:
    """The encoding by which Python decodes names. What it does not know is read as ASCII, and all other bytes are shown as `\\xNN`."""
    name = _PYTHONS_NAMES.get(encoding) or re.sub(r"^WIN(?=\d)", "cp", encoding)
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "ascii"
