"""Reads the archive of the files back, entry by entry, and makes its index a second time from what was read.

The first index was made of what was read from the volumes. If both are the same, then every file in the archive has the bytes that were read, and is
where the index says.
"""

import hashlib
import tarfile
from collections.abc import Iterator

from quotenode_backup.runner.bundle.gunzip import Member
from quotenode_backup.runner.bundle.streams import Unpacked
from quotenode_backup.runner.files.entries import (
    BLOCK,
    ENCODING,
    END_OF_ARCHIVE,
    ERRORS,
    is_time_header,
    read_header,
    recorded_time,
)
from quotenode_backup.runner.files.index import Listed
from quotenode_backup.runner.files.packing import GATHERED
from quotenode_backup.runner.process.compression import zstd
from quotenode_backup.runner.process.pipeline import CHUNK

_LONGEST_NAME = 1 << 20
"""Bytes. Deeper trees than have such names are not walked either: one folder is open for each level."""
_SMALL_WINDOW: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
"""What is read may be anything, and must not be able to ask for more memory than an index needs."""


def made_again(archive: Iterator[memoryview]) -> str:
    """The hash of the index that belongs to this archive. Raises ValueError, EOFError or tarfile.TarError unless it is an archive of a backup."""
    source, index, has_ended = Unpacked(archive), hashlib.sha256(), False
    while not source.is_at_end():
        if has_ended:
            raise ValueError("there is something after the end of the archive")
        offset = source.taken
        member = Unpacked(Member(source).content())
        listed = list(_entries(member))
        for entry in listed:
            index.update(entry.line(offset, source.taken - offset))
        has_ended = not listed
    if not has_ended:
        raise EOFError("the archive has no end")
    return index.hexdigest()


def read_again(index: Iterator[memoryview]) -> str:
    """The hash of an index. Raises ValueError or EOFError unless it is one."""
    text, decompressor = hashlib.sha256(), zstd.ZstdDecompressor(options=_SMALL_WINDOW)
    try:
        for piece in index:
            _decompress(decompressor, piece, text)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error
    if not decompressor.eof:
        raise EOFError("it ends too early")
    return text.hexdigest()


def _entries(member: Unpacked) -> Iterator[Listed]:
    """The entries of a member. None if it is the end of the archive."""
    while not member.is_at_end():
        at = member.taken
        if at >= GATHERED:
            raise ValueError("one of the members of the archive has too many entries")
        first = member.exactly(BLOCK)
        if at == 0 and not any(first):
            _require_end(first, member)
            return
        yield _entry(at, first, member)


def _require_end(first: bytes, member: Unpacked) -> None:
    if first + member.exactly(len(END_OF_ARCHIVE) - BLOCK) != END_OF_ARCHIVE or not member.is_at_end():
        raise ValueError("the end of the archive is damaged")


def _entry(at: int, first: bytes, member: Unpacked) -> Listed:
    """`first`: the first block of the entry, which is the header of its time."""
    length, mtime_ns = recorded_time(member.exactly(BLOCK))
    if not is_time_header(first, length):
        raise ValueError("an entry of the archive has no time")
    names = {tarfile.GNUTYPE_LONGNAME: "", tarfile.GNUTYPE_LONGLINK: ""}
    while (entry := read_header(member.exactly(BLOCK))).type in names:
        names[entry.type] = _long_name(entry.size, member)
    entry.name = names[tarfile.GNUTYPE_LONGNAME] or entry.name
    entry.linkname = names[tarfile.GNUTYPE_LONGLINK] or entry.linkname
    if entry.mtime != mtime_ns // 1_000_000_000:
        raise ValueError("an entry of the archive has two times")
    if entry.size < 0 or (entry.size and entry.type != tarfile.REGTYPE):
        raise ValueError("an entry of the archive has a size that no entry has")
    return Listed(entry, mtime_ns, at, _content_hash(entry, member) if entry.type == tarfile.REGTYPE else None)


def _long_name(length: int, member: Unpacked) -> str:
    if not 0 < length <= _LONGEST_NAME:
        raise ValueError("an entry of the archive has a name that no file has")
    name = member.exactly(length + -length % BLOCK)[:length]
    return name.rstrip(b"\0").decode(ENCODING, ERRORS)


def _content_hash(entry: tarfile.TarInfo, member: Unpacked) -> str:
    digest, left = hashlib.sha256(), entry.size
    while left:
        piece = member.at_most(left)
        if not piece:
            raise EOFError("an entry of the archive ends too early")
        digest.update(piece)
        left -= len(piece)
    if any(member.exactly(-entry.size % BLOCK)):
        raise ValueError("there is something after the content of an entry")
    return digest.hexdigest()


def _decompress(decompressor: "zstd.ZstdDecompressor", piece: memoryview, text: "hashlib._Hash") -> None:
    if decompressor.eof:
        raise ValueError("there is something after the end of the index")
    text.update(decompressor.decompress(piece, CHUNK))
    while not (decompressor.eof or decompressor.needs_input):
        text.update(decompressor.decompress(b"", CHUNK))
    if decompressor.unused_data:
        raise ValueError("there is something after the end of the index")
