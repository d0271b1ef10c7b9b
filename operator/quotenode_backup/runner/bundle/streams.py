"""A bundle as a stream: chunks from the disk, what they decompress to, and pieces of any size that is asked for."""

import hashlib
import os
import queue
import threading
import zlib
from collections.abc import Iterable, Iterator
from io import FileIO
from types import TracebackType
from typing import Self

from quotenode_backup.runner.process.pipeline import CHUNK

_AHEAD = 16 << 20
_GZIP = 31  # zlib's `wbits` of data with a gzip header and trailer


class ReadAhead:
    """The chunks of a file, read from the disk and not from the page cache. A thread reads and hashes the next chunk while the caller uses one.

    A chunk is overwritten once the next one is asked for. The thread is a daemon, so it cannot keep the runner from ending when a disk hangs.
    """

    def __init__(self, file: FileIO) -> None:
        self._file, self._whole = file, hashlib.sha256()
        self._free: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[memoryview | OSError] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        for _ in range(2):
            self._free.put(memoryview(bytearray(CHUNK)))

    def __enter__(self) -> Self:
        os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._free.put(None)
        self._thread.join()

    def __iter__(self) -> Iterator[memoryview]:
        while chunk := self._full.get():
            if isinstance(chunk, OSError):
                raise chunk
            yield chunk
            self._free.put(memoryview(chunk.obj))

    @property
    def sha256(self) -> str:
        """The hash of all that was read so far."""
        return self._whole.hexdigest()

    def _read(self) -> None:
        try:
            while (buffer := self._free.get()) is not None:
                _prefetch(self._file)
                chunk = buffer[: self._file.readinto(buffer)]
                self._whole.update(chunk)
                self._full.put(chunk)
        except OSError as error:
            self._full.put(error)


def _prefetch(file: FileIO) -> None:
    """Keeps the disk busy: without this the kernel reads a fraction of a chunk at a time."""
    if file.tell() % _AHEAD == 0:
        os.posix_fadvise(file.fileno(), file.tell(), 2 * _AHEAD, os.POSIX_FADV_WILLNEED)


def unzipped(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The content of consecutive gzip members.

    A bundle is made of stored blocks, so its content is never larger than the bundle. A file whose content is larger is not a bundle, and could
    fill the memory.
    """
    member = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        rest: bytes | memoryview = chunk
        while rest:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            yield member.decompress(rest, len(rest))
            if member.unconsumed_tail:
                raise EOFError("it is compressed, which no bundle is")
            rest = member.unused_data
    if not member.eof:
        raise EOFError("it ends too early")


class Unpacked:
    """Takes bytes that come in pieces of any size, and gives them in pieces of other sizes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def at_most(self, count: int) -> memoryview:
        """Empty only at the end, or if `count` is 0."""
        while not self._left and (piece := next(self._pieces, None)) is not None:
            self._left = memoryview(piece)
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            piece = self.at_most(count - len(found))
            if not piece:
                raise EOFError("it ends too early")
            found += piece
        return bytes(found)
