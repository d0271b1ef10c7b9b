"""What is on the disk, read from the disk, by another program than the one that wrote it.

The bundle is unpacked by igzip; every member is hashed, the dump goes on to pg_restore, which reads it to its last byte
(`pg_restore --list` would pass a truncated one). One pass over the disk feeds it all.
"""

import hashlib
import os
import tarfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.errors import Reason, RunFailed
from quotenode_backup.runner.clients import Client
from quotenode_backup.runner.pipeline import Pipeline, Stage, first_failure, read_into
from quotenode_backup.runner.segments import CHUNK, Part
from quotenode_backup.runner.wording import Redactor, sentence

_BLOCK = 512


@dataclass
class ReadBack:
    """A reading of a whole bundle. `kill` ends it from another thread."""

    path: Path
    client: Client
    environment: Mapping[str, str] = field(repr=False)
    redact: Redactor
    unpack: Sequence[str] = ("igzip", "-d", "-c")
    size: int = 0
    _pipelines: list[Pipeline] = field(default_factory=list)
    _feeding: BaseException | None = None

    def kill(self) -> None:
        for pipeline in self._pipelines:
            pipeline.kill()

    def run(self, expected: Sequence[Part]) -> str:
        """The sha256 of the file, if its members are `expected`, in that order and nothing else."""
        unpack = self._start(Stage("igzip", self.unpack, self.environment), read=True)
        whole = hashlib.sha256()
        feeder = threading.Thread(target=self._feed, args=(unpack.input, whole.update), daemon=True)
        feeder.start()
        found = self._members(unpack.output)
        feeder.join()
        self._require(unpack, "igzip cannot unpack it")
        if self._feeding:
            raise self._feeding
        if found != list(expected):
            raise self._mismatch(_difference(expected, found))
        return whole.hexdigest()

    def _start(self, stage: Stage, *, read: bool) -> Pipeline:
        pipeline = Pipeline([stage], self.redact, fed=True, read=read)
        self._pipelines.append(pipeline)
        return pipeline

    def _feed(self, pipe: IO[bytes], hashed: Callable[[memoryview], None]) -> None:
        try:
            with pipe, self.path.open("rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
                buffer = memoryview(bytearray(CHUNK))
                while count := file.readinto(buffer):
                    hashed(buffer[:count])
                    write_to(pipe, buffer[:count])
                    self.size += count
        except BrokenPipeError:
            return  # igzip gave up: its exit code says why
        except OSError as error:
            self._feeding = RunFailed(Reason.IO_ERROR, f"Reading the bundle back failed: {error.strerror}.")

    def _members(self, tar: IO[bytes]) -> list[Part]:
        found: list[Part] = []
        buffer = memoryview(bytearray(CHUNK))
        while read_into(tar, buffer[:_BLOCK]) == _BLOCK and any(buffer[:_BLOCK]):
            try:
                header = tarfile.TarInfo.frombuf(buffer[:_BLOCK].tobytes(), "utf-8", "surrogateescape")
            except tarfile.TarError as error:
                raise self._mismatch("a tar header in it is damaged") from error
            found.append(self._member(header, tar, buffer))
        while read_into(tar, buffer):
            pass
        return found

    def _member(self, header: tarfile.TarInfo, tar: IO[bytes], buffer: memoryview) -> Part:
        digest = hashlib.sha256()
        restore = self._start(self._pg_restore(), read=False) if header.name == shape.DUMP else None
        left = header.size
        while left:
            count = read_into(tar, buffer[: min(left, CHUNK)])
            if not count:
                break
            digest.update(buffer[:count])
            if restore:
                _offer(restore.input, buffer[:count])
            left -= count
        read_into(tar, buffer[: -header.size % _BLOCK])
        if restore:
            restore.input.close()
            self._require(restore, "pg_restore cannot read the dump to its end")
        return Part(header.name, header.size - left, digest.hexdigest())

    def _pg_restore(self) -> Stage:
        return Stage("pg_restore", (self.client.pg_restore, "--file=/dev/null"), self.environment)

    def _require(self, pipeline: Pipeline, otherwise: str) -> None:
        failure = first_failure(pipeline.wait())
        if failure:
            raise self._mismatch(f"{otherwise}: {sentence(failure.said, 200) or f'exit code {failure.code}'}")

    def _mismatch(self, what: str) -> RunFailed:
        return RunFailed(
            Reason.READ_BACK_MISMATCH,
            f"The bundle read back from the disk is not what was written ({what}): it was removed. Check the volume and "
            "the memory of the node.",
        )


def _offer(pipe: IO[bytes], data: memoryview) -> None:
    try:
        write_to(pipe, data)
    except BrokenPipeError:
        return  # pg_restore gave up: its exit code says why


def write_to(pipe: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[os.write(pipe.fileno(), data) :]


def _difference(expected: Sequence[Part], found: Sequence[Part]) -> str:
    for part in expected:
        if part not in found:
            return f"{part.name} differs"
    return "it has members that were not written"
