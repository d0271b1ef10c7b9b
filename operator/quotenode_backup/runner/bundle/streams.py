"""A bundle as a stream: chunks from the disk, and pieces of any size that is asked for."""

import hashlib
import os
import queue
import tarfile
import threading
from collections.abc import Generator, Iterator
from io import FileIO
from types import TracebackType
from typing import Self

from quotenode_backup.runner.bundle.members import Part
from quotenode_backup.runner.process.pipeline import CHUNK

_AHEAD = 16 << 20


class ReadAhead:
    """The chunks of a file, read from the disk and not from the page cache. A thread reads and hashes the next chunk while the caller uses one.

    A chunk is overwritten once the next one is asked for. The thread is a daemon, so it cannot keep the runner from ending when a disk hangs.
    """

    def __init__(self, file: FileIO, whole: "hashlib._Hash", until: int | None = None) -> None:
        """`whole` takes all that is read. `until`: where to stop, if that is not the end of the file."""
        self._file, self._whole, self._until = file, whole, until
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

    def _read(self) -> None:
        try:
            while (buffer := self._free.get()) is not None:
                _prefetch(self._file)
                chunk = buffer[: self._file.readinto(self._wanted(buffer))]
                self._whole.update(chunk)
                self._full.put(chunk)
        except OSError as error:
            self._full.put(error)

    def _wanted(self, buffer: memoryview) -> memoryview:
        return buffer if self._until is None else buffer[: self._until - self._file.tell()]


def growing(file: FileIO, whole: "hashlib._Hash") -> Generator[memoryview]:
    """The chunks of a file to whose end more is written, and flushed, while the last chunk of its present content is in use.

    The disk's block at that end is written twice, so the last chunk, which begins where a block begins, is compared once more.
    """
    size, last = os.fstat(file.fileno()).st_size, b""
    with ReadAhead(file, whole, size) as chunks:
        for chunk in chunks:
            last = bytes(chunk) if file.tell() >= size else b""
            yield chunk
    with ReadAhead(file, whole) as chunks:
        if os.pread(file.fileno(), len(last), size - len(last)) != last:
            raise EOFError("its content changed when more was added")
        yield from chunks


def _prefetch(file: FileIO) -> None:
    """Keeps the disk busy: without this the kernel reads a fraction of a chunk at a time."""
    if file.tell() % _AHEAD == 0:
        os.posix_fadvise(file.fileno(), file.tell(), 2 * _AHEAD, os.POSIX_FADV_WILLNEED)


class HashedContent:
    """The content of a member of the bundle's tar, which is hashed while it is read."""

    def __init__(self, header: tarfile.TarInfo, tar: "Unpacked") -> None:
        self._name, self._size, self._tar = header.name, header.size, tar
        self._digest, self._left = hashlib.sha256(), header.size

    def __iter__(self) -> Iterator[memoryview]:
        """What was not taken yet."""
        while self._left:
            piece = self._tar.at_most(self._left)
            if not piece:
                raise EOFError("it ends too early")
            self._digest.update(piece)
            self._left -= len(piece)
            yield piece

    def part(self) -> Part:
        """All of it, whoever has read how much. If reading has failed, it fails again."""
        for _ in self:
            pass
        return Part(self._name, self._size, self._digest.hexdigest())


class Unpacked:
    """Takes bytes that come in pieces of any size, and gives them in pieces of other sizes."""

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")
        self.taken = 0
        """How many bytes were given so far."""

    def is_at_end(self) -> bool:
        while not self._left and (piece := next(self._pieces, None)) is not None:
            self._left = memoryview(piece)
        return not self._left

    def at_most(self, count: int) -> memoryview:
        """Empty only at the end, or if `count` is 0."""
        if not self._left and self.is_at_end():
            return self._left
        taken, self._left = self._left[:count], self._left[count:]
        self.taken += len(taken)
        return taken

    def give_back(self, rest: bytes) -> None:
        """Undoes the last bytes that were taken: they are given again."""
        self._left = memoryview(rest + bytes(self._left))
        self.taken -= len(rest)

    def exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            piece = self.at_most(count - len(found))
            if not piece:
                raise EOFError("it ends too early")
            found += piece
        return bytes(found)
