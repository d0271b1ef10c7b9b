"""The members of a bundle as streams, for a restore: each is taken once, in the order of the bundle, and hashed on the way."""

import hashlib
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle.members import Part
from quotenode_backup.runner.bundle.streams import ReadAhead, Unpacked, unzipped
from quotenode_backup.runner.process.pipeline import CHUNK

_BLOCK = 512


class Member:
    """One member, which must be just as it was when the bundle was verified."""

    def __init__(self, tar: Unpacked, name: str, expected: Part | None, size: int) -> None:
        self.name = name
        self._tar, self._expected, self._left = tar, expected, size
        self._size, self._digest = size, hashlib.sha256()

    def chunks(self) -> Iterator[memoryview]:
        """Raises at the end if the content is another one, so that whoever consumes all of it never takes it for good."""
        while self._left:
            piece = self._tar.at_most(min(self._left, CHUNK))
            if not piece:
                raise EOFError("it ends too early")
            self._digest.update(piece)
            self._left -= len(piece)
            yield piece
        self._require_same()

    def skip(self) -> None:
        """Reads what nobody has taken."""
        for _ in self.chunks():
            pass

    def _require_same(self) -> None:
        if Part(self.name, self._size, self._digest.hexdigest()) != self._expected:
            raise changed(f"{self.name} in it is another one")


@contextmanager
def member_stream(file: FileIO, expected: Mapping[str, Part]) -> Iterator[Iterator[Member]]:
    """The members of a bundle that was verified. `expected`: what they were then, by their names."""
    with ReadAhead(file) as ahead, _explained():
        yield _members(Unpacked(unzipped(ahead)), expected)


def _members(tar: Unpacked, expected: Mapping[str, Part]) -> Iterator[Member]:
    left = dict(expected)
    while any(block := tar.exactly(_BLOCK)):
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        member = Member(tar, header.name, left.pop(header.name, None), header.size)
        yield member
        member.skip()
        tar.exactly(-header.size % _BLOCK)
    if left:
        raise changed(f"it has no {min(left)} any more")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (zlib.error, tarfile.TarError, EOFError) as error:
        raise changed(str(error)) from error


def changed(what: str) -> RunFailed:
    return RunFailed(
        Reason.BUNDLE_INVALID,
        f"The bundle has changed since it was verified ({what}): the live data is untouched. Find out what writes to its claim, or restore another "
        "backup.",
    )
