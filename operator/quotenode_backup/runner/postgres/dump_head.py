"""The head of a dump in pg_dump's custom format: what it holds, before the data.

A dump that comes from a pipe can be read only once, and its head alone tells which roles and extensions it needs. pg_restore can also work from
a copy of the head, as long as no data is asked for. The format is that of `ReadHead` and `ReadToc` in PostgreSQL's pg_backup_archiver.c.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_HEAD = 256 << 20
"""Bytes. A table takes one or two KiB."""
_FIRST_LOOK = 64 << 10
_MAGIC = b"PGDMP"
_CUSTOM = 1
_OLDEST, _NEWEST = (1, 14), (1, 16)
"""The versions of the format that pg_dump 12 to 18 write."""
_COMPRESSION_NAMED, _RELKIND = (1, 15), (1, 16)


class NotADump(Exception):
    """What was read is not the head of a dump in a format that is known. The message is a clause."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a dump holds, in the order in which pg_dump wrote them."""

    dump_id: int
    kind: str
    """Such as `TABLE DATA`."""
    schema: str
    tag: str
    owner: str
    definition: str


@dataclass(frozen=True, slots=True)
class DumpHead:
    raw: bytes
    server_version: str
    """Of the server that was dumped, such as `17.10 (Debian …)`."""
    client_version: str
    """Of the pg_dump that wrote it."""
    database: str
    entries: tuple[Entry, ...]

    @property
    def server_major(self) -> int:
        return major(self.server_version)

    @property
    def client_major(self) -> int:
        return major(self.client_version)

    def of_kind(self, *kinds: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.kind in kinds)


def major(version: str) -> int:
    found = re.match(r"\d+", version)
    if not found:
        raise NotADump("it does not tell a version of PostgreSQL")
    return int(found[0])


def read_head(chunks: Iterator[memoryview] | Iterator[bytes]) -> tuple[DumpHead, bytes]:
    """The head, and all that was read, which is the head and a part of what follows it."""
    read, enough = bytearray(), _FIRST_LOOK
    for chunk in chunks:
        read += chunk
        if len(read) >= enough:
            if head := _complete(read):
                return head, bytes(read)
            enough = 2 * len(read)
        if len(read) > LONGEST_HEAD:
            raise NotADump("its list of contents does not end")
    if head := _complete(read):
        return head, bytes(read)
    raise NotADump("it ends within its list of contents")


def _complete(read: bytearray) -> DumpHead | None:
    """None if there is more of the head to come."""
    try:
        return _Reader(bytes(read)).head()
    except EOFError:
        return None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._stream = data, io.BytesIO(data)
        self._version = (0, 0)
        self._int_size = self._offset_size = 0

    def head(self) -> DumpHead:
        if self._exactly(len(_MAGIC)) != _MAGIC:
            raise NotADump("it is not in pg_dump's custom format")
        self._version = (self._byte(), self._byte())
        if not _OLDEST <= self._version <= _NEWEST:
            raise NotADump(
                f"it has version {self._version[0]}.{self._version[1]} of pg_dump's format, which is not known"
            )
        self._byte()  # the revision
        self._int_size, self._offset_size = self._byte(), self._byte()
        if self._byte() != _CUSTOM or not 1 <= self._int_size <= 8 or not 1 <= self._offset_size <= 8:
            raise NotADump("it is not in pg_dump's custom format")
        return self._rest()

    def _rest(self) -> DumpHead:
        self._compression()
        for _ in range(7):  # the time of the dump
            self._int()
        database, server, client = self._text(), self._text(), self._text()
        count = self._int()
        if count < 0:
            raise NotADump("its list of contents is damaged")
        entries = tuple(self._entry() for _ in range(count))
        return DumpHead(self._data[: self._stream.tell()], server, client, database, entries)

    def _compression(self) -> None:
        if self._version >= _COMPRESSION_NAMED:
            self._byte()
        else:
            self._int()

    def _entry(self) -> Entry:
        dump_id = self._int()
        self._int()  # whether it has data
        self._text(), self._text()  # the catalog's and its own OID
        tag, kind = self._text(), self._text()
        self._int()  # the section
        definition = self._text()
        self._text(), self._text()  # DROP and COPY
        schema = self._text()
        self._text(), self._text()  # tablespace and access method
        if self._version >= _RELKIND:
            self._int()
        owner = self._text()
        self._text()  # whether it has OIDs
        while self._optional_text() is not None:
            pass  # what it depends on
        self._exactly(1 + self._offset_size)  # where its data is
        return Entry(dump_id, kind, schema, tag, owner, definition)

    def _int(self) -> int:
        is_negative = self._byte()
        value = int.from_bytes(self._exactly(self._int_size), "little")
        return -value if is_negative else value

    def _text(self) -> str:
        return self._optional_text() or ""

    def _optional_text(self) -> str | None:
        length = self._int()
        if length > LONGEST_HEAD:
            raise NotADump("its list of contents is damaged")
        return None if length < 0 else self._exactly(length).decode("utf-8", "surrogateescape")

    def _byte(self) -> int:
        return self._exactly(1)[0]

    def _exactly(self, count: int) -> bytes:
        found = self._stream.read(count)
        if len(found) < count:
            raise EOFError
        return found
