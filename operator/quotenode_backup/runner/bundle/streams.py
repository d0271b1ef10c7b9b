"""A bundle as a stream: chunks from the disk, what gzip makes of them, and pieces of the size that is asked for."""

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
_GZIP = 31  # zlib's word for data with a gzip header and trailer


class ReadAhead:
    """The chunks of a file, none of them from memory. The next one is read and hashed while one is looked at.

    A chunk is gone when the next one is asked for. The thread is a daemon: on a disk that hangs it cannot keep the runner from ending.
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
        """Of all that was read."""
        return self._whole.hexdigest()

    def _read(self) -> None:
        try:
            while (buffer := self._free.get()) is not None:
                _ask_for_more(self._file)
                chunk = buffer[: self._file.readinto(buffer)]
                self._whole.update(chunk)
                self._full.put(chunk)
        except OSError as error:
            self._full.put(error)


def _ask_for_more(file: FileIO) -> None:
    """Keeps the disk busy: left to itself the kernel asks for a fraction of a chunk at a time."""
    if file.tell() % _AHEAD == 0:
        os.posix_fadvise(file.fileno(), file.tell(), 2 * _AHEAD, os.POSIX_FADV_WILLNEED)


def unzipped(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The content of gzip members, one behind the other.

    A bundle is made of stored blocks, so it never unpacks to more than it is: what does is no bundle, and could fill the memory.
    """
    member = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        rest: bytes | memoryview = chunk
        while rest:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            yield member.decompress(rest, len(rest))
            if member.unconsumed_tail:
                raise EOFError("it is compressed as no bundle is")
            rest = member.unused_data
    if not member.eof:
        raise EOFError("it ends too early")


class Unpacked:
    """Bytes that come in pieces of any size, taken in pieces of another."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def at_most(self, count: int) -> memoryview:
        """Empty at the end only, or if nothing is asked for."""
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
