"""Writes the index of the archive, one line for each entry, while the archive is written.

The lines are not made by the model in `contract.index`, since to load pydantic would take longer than to archive a small tree. They are put together
as text, which takes a third of the time that an encoder of JSON takes for a whole object.
"""

import json
import os
import tarfile
from dataclasses import dataclass

from quotenode_backup.domain.index import EntryType, quoted
from quotenode_backup.runner.process.compression import zstd

_BUFFER = 1 << 16
_TYPES = {
    tarfile.REGTYPE: EntryType.FILE,
    tarfile.DIRTYPE: EntryType.FOLDER,
    tarfile.SYMTYPE: EntryType.LINK,
    tarfile.LNKTYPE: EntryType.HARD_LINK,
}
_LEADS_ELSEWHERE = (EntryType.LINK, EntryType.HARD_LINK)
_to_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(slots=True)
class Listed:
    """An entry whose member has not ended yet."""

    entry: tarfile.TarInfo
    mtime_ns: int
    at: int
    sha256: str | None = None

    def line(self, offset: int, length: int) -> bytes:
        """As `contract.index.IndexEntry` reads it. Raises ValueError if it is nothing that an archive may contain."""
        entry, kind = self.entry, _TYPES.get(self.entry.type)
        if kind is None:
            raise ValueError(f"an entry of the archive has the type {entry.type!r}")
        target = f'"target":{_to_json(quoted(entry.linkname))},' if kind in _LEADS_ELSEWHERE else ""
        sha256 = f'"sha256":"{self.sha256}",' if self.sha256 else ""
        line = (
            f'{{"path":{_to_json(quoted(entry.name.rstrip("/")))},"type":"{kind}","size":{entry.size},'
            f'"mtimeNs":"{self.mtime_ns}","mode":"{entry.mode:04o}","uid":{entry.uid},"gid":{entry.gid},{target}{sha256}'
            f'"offset":{offset},"length":{length},"at":{self.at}}}\n'
        )
        return line.encode()


class Index:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._compressor = zstd.ZstdCompressor(level=3)
        self._lines: list[bytes] = []
        self._size = 0
        self._waiting: list[Listed] = []

    def add(self, listed: Listed) -> None:
        self._waiting.append(listed)

    def placed(self, offset: int, length: int) -> None:
        """The member of all entries that were added since the last one has ended."""
        for listed in self._waiting:
            line = listed.line(offset, length)
            self._lines.append(line)
            self._size += len(line)
        self._waiting.clear()
        if self._size >= _BUFFER:
            self._write(self._compressor.compress(self._taken()))

    def finish(self) -> None:
        self._write(self._compressor.compress(self._taken()) + self._compressor.flush())

    def _taken(self) -> bytes:
        taken = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        return taken

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
