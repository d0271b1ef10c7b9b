"""A bundle is read from the disk to its last byte, in one pass.

A thread of its own hashes the file while zlib decompresses it and checks the sum of every gzip member. Each member of the tar is hashed, and the
dump is piped into pg_restore, which must be able to read it to its end: `pg_restore --list` accepts a truncated dump.
"""

import hashlib
import os
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from typing import IO

from quotenode_backup.contract.manifest import LARGEST_RECORD
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle.members import Part
from quotenode_backup.runner.bundle.streams import ReadAhead, Unpacked, unzipped
from quotenode_backup.runner.postgres.clients import Client
from quotenode_backup.runner.process.display import Redactor, sentence
from quotenode_backup.runner.process.pipeline import CHUNK, Pipeline, Stage, first_failure

_BLOCK = 512
_SMALL = (shape.MANIFEST, shape.CHECKSUMS)
_MOST_MEMBERS = 8
"""Twice as many as there are in a bundle."""


class Mismatch(Exception):
    """What was read is not a bundle, or not the one that was expected."""


class Stopped(Exception):
    """The reading was stopped, and nothing is known about the bundle."""


@dataclass(frozen=True, slots=True)
class Restorer:
    """The pg_restore that must be able to read a dump."""

    client: Client
    environment: Mapping[str, str] = field(repr=False)
    redact: Redactor


@dataclass(frozen=True, slots=True)
class Contents:
    parts: tuple[Part, ...]
    """The members of the tar, in order."""
    small: Mapping[str, bytes]
    """The content of the manifest and of the checksums."""
    sha256: str
    """Of the bundle as a file."""


class Reading:
    """One reading of a whole bundle, whose content may be anything. `kill` stops it from another thread.

    `lists_only`: pg_restore reads only the table of contents of the dump.
    `must_stop` is asked after each chunk, so that the first chunk is always read.
    """

    def __init__(
        self, restorer: Restorer, *, lists_only: bool = False, must_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._restorer, self._must_stop = restorer, must_stop
        self._option = "--list" if lists_only else "--file=/dev/null"
        self._restore: Pipeline | None = None
        self._stopped = False
        self._starting = threading.Lock()
        self._small: dict[str, bytes] = {}
        self.size = 0

    def kill(self) -> None:
        with self._starting:
            self._stopped = True
            if self._restore:
                self._restore.kill()

    def contents(self, file: FileIO) -> Contents:
        """Raises Mismatch if the file is not a bundle, and OSError if it cannot be read."""
        with ReadAhead(file) as ahead:
            try:
                parts = tuple(self._members(Unpacked(unzipped(self._counted(ahead)))))
            except (zlib.error, tarfile.TarError, EOFError, ValueError) as error:
                raise Mismatch(str(error)) from error
        return Contents(parts, self._small, ahead.sha256)

    def _counted(self, chunks: Iterable[memoryview]) -> Iterator[memoryview]:
        for chunk in chunks:
            yield chunk
            self.size += len(chunk)
            if self._stopped or self._must_stop():
                raise Stopped

    def _members(self, tar: Unpacked) -> Iterator[Part]:
        left = _MOST_MEMBERS
        while any(block := tar.exactly(_BLOCK)):
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if not header.isreg() or header.size < 0 or not left:
                raise tarfile.ReadError("its members are not those of a bundle")
            yield self._member(header, tar)
            tar.exactly(-header.size % _BLOCK)
            left -= 1
        if any(any(rest) for rest in iter(lambda: tar.at_most(CHUNK), b"")):
            raise EOFError("there is something after its end")

    def _member(self, header: tarfile.TarInfo, tar: Unpacked) -> Part:
        if header.name == shape.DUMP:
            return self._dump(header, tar)
        if header.name in _SMALL and header.size <= LARGEST_RECORD:
            content = self._small[header.name] = tar.exactly(header.size)
            return Part(header.name, header.size, hashlib.sha256(content).hexdigest())
        return _hashed(header, tar)

    def _dump(self, header: tarfile.TarInfo, tar: Unpacked) -> Part:
        restore = self._pg_restore()
        try:
            with restore.input as pipe:
                part = _hashed(header, tar, pipe)
        except BaseException:
            restore.kill()
            restore.wait()
            raise
        failure = first_failure(restore.wait())
        if self._stopped:
            raise Stopped
        if failure:
            message = sentence(failure.stderr, 200) or f"exit code {failure.code}"
            raise Mismatch(f"pg_restore cannot read the dump to its end: {message}")
        return part

    def _pg_restore(self) -> Pipeline:
        command = (self._restorer.client.pg_restore, "--format=custom", self._option)
        stage = Stage("pg_restore", command, self._restorer.environment)
        with self._starting:
            if self._stopped:
                raise Stopped
            self._restore = Pipeline([stage], self._restorer.redact, fed=True, read=False)
            return self._restore


def read_back(reading: Reading, opened: Callable[[], FileIO], expected: Sequence[Part]) -> str:
    """The sha256 of a bundle that was just written. Raises unless its members are just those that are `expected`, in the same order."""
    try:
        with opened() as file:
            found = reading.contents(file)
    except Mismatch as error:
        raise _mismatch(str(error)) from error
    except OSError as error:
        raise RunFailed(Reason.IO_ERROR, f"Reading the bundle back failed: {error.strerror}.") from error
    if found.parts != tuple(expected):
        raise _mismatch(_difference(expected, found.parts))
    return found.sha256


def _hashed(header: tarfile.TarInfo, tar: Unpacked, also: IO[bytes] | None = None) -> Part:
    """Hashes a member, and writes it to `also` at the same time."""
    digest, left = hashlib.sha256(), header.size
    while left:
        piece = tar.at_most(left)
        if not piece:
            raise EOFError("it ends too early")
        digest.update(piece)
        if also:
            _write_while_read(also, piece)
        left -= len(piece)
    return Part(header.name, header.size, digest.hexdigest())


def _write_while_read(pipe: IO[bytes], data: memoryview) -> None:
    try:
        while data:
            data = data[os.write(pipe.fileno(), data) :]
    except BrokenPipeError:
        return  # pg_restore has failed, or has read enough: its exit code tells which


def _mismatch(what: str) -> RunFailed:
    return RunFailed(
        Reason.READ_BACK_MISMATCH,
        f"The bundle that was read back from the disk is not the one that was written ({what}), so it was removed: check the volume "
        "and the memory of the node.",
    )


def _difference(expected: Sequence[Part], found: Sequence[Part]) -> str:
    for part in expected:
        if part not in found:
            return f"{part.name} differs"
    return "it has members that were not written"
