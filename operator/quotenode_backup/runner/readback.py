"""What is on the disk, read from the disk, to the last byte.

One pass feeds everything: the file as it is, is hashed by a thread of its own while zlib unpacks it (and checks every gzip
member's own sum), each member of the tar is hashed, and the dump goes on to pg_restore, which must be able to read it to its end
(`pg_restore --list` would pass a truncated one).
"""

import hashlib
import itertools
import os
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import IO

from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.errors import Reason, RunFailed
from quotenode_backup.runner.clients import Client
from quotenode_backup.runner.pipeline import Pipeline, Stage, first_failure
from quotenode_backup.runner.segments import CHUNK, Part
from quotenode_backup.runner.wording import Redactor, sentence

_BLOCK = 512
_AHEAD = 16 << 20
_GZIP = 31  # zlib's word for data with a gzip header and trailer


class ReadBack:
    """A reading of a whole bundle. `kill` ends it from another thread."""

    def __init__(self, path: Path, client: Client, environment: Mapping[str, str], redact: Redactor) -> None:
        self._path, self._client, self._environment, self._redact = path, client, environment, redact
        self._restore: Pipeline | None = None
        self._stopped = False
        self._starting = threading.Lock()
        self.size = 0

    def kill(self) -> None:
        with self._starting:
            self._stopped = True
            if self._restore:
                self._restore.kill()

    def run(self, expected: Sequence[Part]) -> str:
        """The sha256 of the file, if its members are `expected`, in that order and nothing else."""
        whole = hashlib.sha256()
        try:
            with self._path.open("rb", buffering=0) as file, ThreadPoolExecutor(1) as beside:
                tar = Unpacked(unzipped(self._chunks(file, beside, whole.update)))
                found = list(self._members(tar))
        except (zlib.error, tarfile.TarError, EOFError) as error:
            raise _mismatch(str(error)) from error
        except OSError as error:
            raise RunFailed(Reason.IO_ERROR, f"Reading the bundle back failed: {error.strerror}.") from error
        if found != list(expected):
            raise _mismatch(_difference(expected, found))
        return whole.hexdigest()

    def _chunks(
        self, file: FileIO, beside: ThreadPoolExecutor, hashed: Callable[[memoryview], None]
    ) -> Iterator[memoryview]:
        """The file, of which nothing is taken from memory. The next chunk is read and hashed while one is looked at."""
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

        def take(buffer: memoryview) -> memoryview:
            _read_ahead(file)
            chunk = buffer[: file.readinto(buffer)]
            hashed(chunk)
            return chunk

        buffers = itertools.cycle([memoryview(bytearray(CHUNK)), memoryview(bytearray(CHUNK))])
        coming = beside.submit(take, next(buffers))
        while (chunk := coming.result()) and not self._stopped:
            coming = beside.submit(take, next(buffers))
            yield chunk
            self.size += len(chunk)

    def _members(self, tar: "Unpacked") -> Iterator[Part]:
        while any(block := tar.exactly(_BLOCK)):
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            yield self._dump(header, tar) if header.name == shape.DUMP else _member(header, tar)
            tar.exactly(-header.size % _BLOCK)
        if any(any(rest) for rest in iter(lambda: tar.at_most(CHUNK), b"")):
            raise EOFError("there is something behind its end")

    def _dump(self, header: tarfile.TarInfo, tar: "Unpacked") -> Part:
        restore = self._pg_restore()
        with restore.input as pipe:
            part = _member(header, tar, pipe)
        failure = first_failure(restore.wait())
        if failure:
            said = sentence(failure.said, 200) or f"exit code {failure.code}"
            raise _mismatch(f"pg_restore cannot read the dump to its end: {said}")
        return part

    def _pg_restore(self) -> Pipeline:
        stage = Stage("pg_restore", (self._client.pg_restore, "--file=/dev/null"), self._environment)
        with self._starting:
            if self._stopped:
                raise EOFError("the reading was stopped")
            self._restore = Pipeline([stage], self._redact, fed=True, read=False)
            return self._restore


def _read_ahead(file: FileIO) -> None:
    """Keeps the disk busy: left to itself the kernel asks for a fraction of a chunk at a time."""
    if file.tell() % _AHEAD == 0:
        os.posix_fadvise(file.fileno(), file.tell(), 2 * _AHEAD, os.POSIX_FADV_WILLNEED)


def unzipped(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The content of gzip members, one behind the other."""
    member = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        rest: bytes | memoryview = chunk
        while rest:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            yield member.decompress(rest)
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
        found = b""
        while len(found) < count:
            piece = self.at_most(count - len(found))
            if not piece:
                raise EOFError("it ends too early")
            found += piece
        return found


def _member(header: tarfile.TarInfo, tar: Unpacked, also: IO[bytes] | None = None) -> Part:
    """Hashed, and written to `also` on the way."""
    digest, left = hashlib.sha256(), header.size
    while left:
        piece = tar.at_most(left)
        if not piece:
            raise EOFError("it ends too early")
        digest.update(piece)
        if also:
            _offer(also, piece)
        left -= len(piece)
    return Part(header.name, header.size, digest.hexdigest())


def _offer(pipe: IO[bytes], data: memoryview) -> None:
    try:
        while data:
            data = data[os.write(pipe.fileno(), data) :]
    except BrokenPipeError:
        return  # pg_restore gave up: its exit code says why


def _mismatch(what: str) -> RunFailed:
    return RunFailed(
        Reason.READ_BACK_MISMATCH,
        f"The bundle read back from the disk is not what was written ({what}): it was removed. Check the volume and the "
        "memory of the node.",
    )


def _difference(expected: Sequence[Part], found: Sequence[Part]) -> str:
    for part in expected:
        if part not in found:
            return f"{part.name} differs"
    return "it has members that were not written"
