"""The entries of a tar as a stream: in one pass, and without keeping any of it in memory but one entry's name.

Reads what our own archive writes (GNU's format with a record for each time), and what GNU tar, bsdtar and Python write by default.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from quotenode_backup.runner.files.tar_header import (
    BLOCK,
    EXTENDED,
    LONG_NAME,
    LONG_TARGET,
    Header,
    Kind,
    NotAnArchive,
    header_of,
    kind_of,
    nanoseconds_of,
    number_of,
    owner_of,
    records_of,
)
from quotenode_backup.runner.process.display import escape

_LARGEST_NAME = 1 << 20
"""The longest path that an entry may have, in bytes, and the largest extended header."""
_LONGEST_TARGET = 4095
_LARGEST_END = 1 << 20
"""How many zeros may follow the end. tar programs fill the last record of 10 KiB."""
_PIECE = 1 << 20
_ZEROS = bytes(BLOCK)


class Stream(Protocol):
    """What the archive decompresses to. Both raise EOFError or zlib.error where it is damaged."""

    def at_most(self, count: int) -> memoryview:
        """Empty only at the end, or if `count` is 0."""

    def exactly(self, count: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Entry:
    parts: tuple[bytes, ...]
    """The folders and the name. Empty for the folder that was archived itself."""
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    modified: int
    target: bytes
    """What a link points to, as it is. Empty if it is not a link."""

    @property
    def path(self) -> str:
        """As it is shown to people."""
        return shown(self.parts)

    @property
    def target_parts(self) -> tuple[bytes, ...]:
        """The entry of the archive that a hard link is another name of."""
        return parts_of(self.target)


class TarReader:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """What of an entry's content was not read is skipped when the next entry is asked for."""
        while header := self._next_header():
            name = header.name
            try:
                kind = kind_of(header)
                entry = _entry(header, kind)
            except NotAnArchive as error:
                raise NotAnArchive(f"{error} ({escape(os.fsdecode(name))})") from None
            self._left, self._padding = entry.size, -entry.size % BLOCK
            yield entry
            self._skip_content()

    def content(self) -> Iterator[memoryview]:
        """The content of the entry that was given last."""
        while self._left:
            piece = self._stream.at_most(min(self._left, _PIECE))
            if not piece:
                raise EOFError("it ends too early")
            self._left -= len(piece)
            yield piece

    def _skip_content(self) -> None:
        for _ in self.content():
            pass
        self._stream.exactly(self._padding)

    def _next_header(self) -> Header | None:
        """With all that the headers before it say about it."""
        records: dict[bytes, bytes] = {}
        long_name = long_target = b""
        while (block := self._stream.exactly(BLOCK)) != _ZEROS:
            header = header_of(block)
            if header.kind == EXTENDED:
                records = records_of(self._data(header))
            elif header.kind == LONG_NAME:
                long_name = self._data(header).removesuffix(b"\0")
            elif header.kind == LONG_TARGET:
                long_target = self._data(header).removesuffix(b"\0")
            else:
                return _completed(header, long_name, long_target, records)
        if records or long_name or long_target:
            raise NotAnArchive("it ends after a header without its entry")
        self._require_end()
        return None

    def _data(self, header: Header) -> bytes:
        if header.size > _LARGEST_NAME:
            raise NotAnArchive("a name in it is too long")
        data = self._stream.exactly(header.size)
        self._stream.exactly(-header.size % BLOCK)
        return data

    def _require_end(self) -> None:
        if self._stream.exactly(BLOCK) != _ZEROS:
            raise NotAnArchive("a header in it is damaged")
        left = _LARGEST_END
        while piece := self._stream.at_most(_PIECE):
            left -= len(piece)
            if left < 0 or bytes(piece).strip(b"\0"):
                raise NotAnArchive("there is something after its end")


def _completed(header: Header, name: bytes, target: bytes, records: dict[bytes, bytes]) -> Header:
    if any(key.startswith(b"GNU.sparse.") for key in records):
        raise NotAnArchive("it has a sparse file")
    return Header(
        records.get(b"path", name or header.name),
        header.kind,
        header.mode,
        owner_of(number_of(records[b"uid"])) if b"uid" in records else header.uid,
        owner_of(number_of(records[b"gid"])) if b"gid" in records else header.gid,
        number_of(records[b"size"]) if b"size" in records else header.size,
        nanoseconds_of(records[b"mtime"]) if b"mtime" in records else header.modified,
        records.get(b"linkpath", target or header.target),
    )


def _entry(header: Header, kind: Kind) -> Entry:
    if kind is not Kind.FOLDER and header.name.endswith(b"/"):
        raise NotAnArchive("it is not a folder, and has the name of one")
    if kind is Kind.LINK and not (0 < len(header.target) <= _LONGEST_TARGET and b"\0" not in header.target):
        raise NotAnArchive("it is a link to nothing that can have a name")
    parts = parts_of(header.name)
    return Entry(parts, kind, header.mode, header.uid, header.gid, header.size, header.modified, header.target)


def parts_of(name: bytes) -> tuple[bytes, ...]:
    if name.startswith(b"/"):
        raise NotAnArchive("its name is absolute")
    if b"\0" in name or not name:
        raise NotAnArchive("it has no valid name")
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise NotAnArchive("its name leads out of the archive")
    return parts


def shown(parts: tuple[bytes, ...]) -> str:
    return escape(os.fsdecode(b"/".join(parts) or b"./"))
