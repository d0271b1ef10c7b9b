"""A bundle is read from the disk to its last byte, in one pass.

A thread of its own hashes the file while the sum of every gzip member is checked. Each member of the tar is hashed, and the dump is piped into
pg_restore, which must be able to read it to its end: `pg_restore --list` accepts a truncated dump. The rows of its tables are counted in what
pg_restore writes. If there is a list of the tables, it must have the same counts. If there is an index of the files, it must be that of the archive,
which is decompressed for that.
"""

import hashlib
import itertools
import os
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import FileIO
from typing import IO

from quotenode_backup.contract.manifest import LARGEST_RECORD
from quotenode_backup.contract.tables import LARGEST_STORED_LIST, parse_table_list
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle import archived
from quotenode_backup.runner.bundle.gunzip import stored_content
from quotenode_backup.runner.bundle.members import Part
from quotenode_backup.runner.bundle.streams import HashedContent, ReadAhead, Unpacked, growing
from quotenode_backup.runner.postgres.clients import Client
from quotenode_backup.runner.postgres.row_counter import RowCounter
from quotenode_backup.runner.process.display import Redactor, sentence
from quotenode_backup.runner.process.pipeline import CHUNK, Pipeline, Stage, first_failure, pump

_BLOCK = 512
_ERRORS = (tarfile.TarError, EOFError, ValueError)
"""What a bundle raises that is not one, or is damaged."""
_SMALL = {shape.MANIFEST: LARGEST_RECORD, shape.CHECKSUMS: LARGEST_RECORD, shape.TABLES: LARGEST_STORED_LIST}
"""The members whose content is kept, and how many bytes they may have."""
_MOST_MEMBERS = 8
"""More than there are in a bundle."""


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
    """The content of the manifest, of the checksums, and of the list of the tables. Empty if one of them is too large."""
    sha256: str
    """Of the bundle as a file."""


class Reading:
    """One reading of a whole bundle, whose content may be anything. `kill` stops it from another thread.

    `lists_only`: pg_restore reads only the table of contents of the dump, no rows are counted, and nothing is decompressed.
    `must_stop` is asked after each chunk, so that the first chunk is always read.
    """

    def __init__(
        self, restorer: Restorer, *, lists_only: bool = False, must_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._restorer, self._must_stop = restorer, must_stop
        self._lists_only = lists_only
        self._options = ["--list"] if lists_only else ["--section=data", "--file=-"]
        self.rows = RowCounter()
        self._index = self._index_of_archive = self._without_index = ""
        """The hash of the index that was found, and of the one that belongs to the archive; or why no index does, as in format 1."""
        self._restore: Pipeline | None = None
        self._stopped = False
        self._starting = threading.Lock()
        self._small: dict[str, bytes] = {}
        self._whole = hashlib.sha256()
        self.size = 0

    def kill(self) -> None:
        with self._starting:
            self._stopped = True
            if self._restore:
                self._restore.kill()

    def contents(self, file: FileIO) -> Contents:
        """Raises Mismatch if the file is not a bundle, and OSError if it cannot be read."""
        with ReadAhead(file, self._whole) as ahead:
            parts = tuple(self._parts(ahead))
        return Contents(parts, self._small, self.sha256)

    @property
    def sha256(self) -> str:
        """Of all that was read so far."""
        return self._whole.hexdigest()

    @contextmanager
    def members(self, file: FileIO) -> Iterator[Iterator[Part]]:
        """The members of a bundle to which more is added once those that it has were read. Raises as `contents` does."""
        with closing(growing(file, self._whole)) as chunks:
            yield self._parts(chunks)

    def _parts(self, chunks: Iterable[memoryview]) -> Iterator[Part]:
        try:
            yield from self._members(Unpacked(stored_content(Unpacked(self._counted(chunks)))))
        except _ERRORS as error:
            raise Mismatch(str(error)) from error
        if self._index not in ("", self._index_of_archive):
            raise Mismatch(f"the index of the files is not that of the archive{self._without_index}")
        if not self._has_tables_of_dump():
            raise Mismatch("the list of the tables is not that of the dump")

    def _has_tables_of_dump(self) -> bool:
        """So far as is known: also if there is no list, or the rows of the dump could not be counted."""
        listed, counted = self._small.get(shape.TABLES), self.rows.tables()
        return listed is None or self._lists_only or counted is None or parse_table_list(listed) == counted

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
        if header.name == shape.FILES and not self._lists_only:
            return self._archive(header, tar)
        if header.name == shape.INDEX and not self._lists_only:
            return self._index_of_files(header, tar)
        if header.name in _SMALL:
            return self._small_member(header, tar)
        return _hashed(header, tar)

    def _small_member(self, header: tarfile.TarInfo, tar: Unpacked) -> Part:
        content = HashedContent(header, tar)
        is_small = header.size <= _SMALL[header.name]
        self._small[header.name] = b"".join(map(bytes, content)) if is_small else b""
        return content.part()

    def _archive(self, header: tarfile.TarInfo, tar: Unpacked) -> Part:
        content = HashedContent(header, tar)
        try:
            self._index_of_archive = archived.made_again(iter(content))
        except _ERRORS as error:
            self._without_index = f" ({error})"
        return content.part()

    def _index_of_files(self, header: tarfile.TarInfo, tar: Unpacked) -> Part:
        content = HashedContent(header, tar)
        self._index = archived.read_again(iter(content))
        return content.part()

    def _dump(self, header: tarfile.TarInfo, tar: Unpacked) -> Part:
        restore = self._pg_restore()
        counting = threading.Thread(target=self._count_rows, args=(restore,), daemon=True)
        counting.start()
        try:
            with restore.input as pipe:
                part = _hashed(header, tar, pipe)
        except BaseException:
            restore.kill()
            raise
        finally:
            counting.join()
            ended = restore.wait()
        failure = first_failure(ended)
        if self._stopped:
            raise Stopped
        if failure:
            message = sentence(failure.stderr, 200) or f"exit code {failure.code}"
            raise Mismatch(f"pg_restore cannot read the dump to its end: {message}")
        return part

    def _count_rows(self, restore: Pipeline) -> None:
        """Takes all that pg_restore writes, which ends when pg_restore does."""
        pump(restore.output, (lambda _: None) if self._lists_only else self.rows.feed)

    def _pg_restore(self) -> Pipeline:
        command = (self._restorer.client.pg_restore, "--format=custom", *self._options)
        stage = Stage("pg_restore", command, self._restorer.environment)
        with self._starting:
            if self._stopped:
                raise Stopped
            self._restore = Pipeline([stage], self._restorer.redact, fed=True)
            return self._restore


@contextmanager
def reading_back(reading: Reading, opened: Callable[[], FileIO]) -> Iterator["ReadBack"]:
    """The reading of a bundle that was just written."""
    with _errors_explained():
        file = opened()
    with file, reading.members(file) as members:
        yield ReadBack(reading, members)


class ReadBack:
    """Each step raises unless the members are just those that were written, in the same order."""

    def __init__(self, reading: Reading, members: Iterator[Part]) -> None:
        self._reading, self._members = reading, members
        self._found: list[Part] = []

    def content(self, written: Sequence[Part]) -> None:
        """Reads so many members. The bundle may then be finished."""
        self._read(itertools.islice(self._members, len(written)), written)

    def rest(self, written: Sequence[Part]) -> str:
        """`written`: all members of the bundle, which is finished now. Gives its sha256."""
        self._read(self._members, written)
        return self._reading.sha256

    def _read(self, members: Iterator[Part], written: Sequence[Part]) -> None:
        with _errors_explained():
            self._found += members
        if self._found != list(written):
            raise _mismatch(_difference(written, self._found))


@contextmanager
def _errors_explained() -> Iterator[None]:
    try:
        yield
    except Mismatch as error:
        raise _mismatch(str(error)) from error
    except OSError as error:
        raise RunFailed(Reason.IO_ERROR, f"Reading the bundle back failed: {error.strerror}.") from error


def _hashed(header: tarfile.TarInfo, tar: Unpacked, also: IO[bytes] | None = None) -> Part:
    """Hashes a member, and writes it to `also` at the same time."""
    content = HashedContent(header, tar)
    for piece in content:
        if also:
            _write_while_read(also, piece)
    return content.part()


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
