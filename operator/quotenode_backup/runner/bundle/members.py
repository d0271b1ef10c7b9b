"""A bundle is a tar inside gzip, and is written while its parts arrive.

Everything in a bundle is compressed already, and to compress it again would take twenty times as long as to copy it. gzip allows stored blocks,
and one gzip file may consist of many gzip members. So the tar header of a part, whose size is known only at the end of the part, is a gzip member
of its own: it has a fixed length, and is filled in last. Any gzip and any tar read the result.
"""

import errno
import hashlib
import os
import struct
import tarfile
import zlib
from dataclasses import dataclass

from quotenode_backup.runner.process.pipeline import CHUNK

_BLOCK = 65_535
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LAST_BLOCK = b"\x01\0\0\xff\xff"
_TAR_BLOCK = 512
_HEADER_LENGTH = len(_GZIP_HEADER) + 5 + _TAR_BLOCK + 8
_FLUSH = 32 << 20
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Part:
    """A member of the bundle, as it was written."""

    name: str
    size: int
    sha256: str


class Segment:
    """One member of the tar. It is written to the end of an open file, in a single pass over its content."""

    def __init__(self, descriptor: int, name: str, mtime: int) -> None:
        self._descriptor, self._name, self._mtime = descriptor, name, mtime
        self._start = os.lseek(descriptor, 0, os.SEEK_END)
        self._hash, self._crc, self.size = hashlib.sha256(), 0, 0
        self._flushed = self._start
        write_all(descriptor, [bytes(_HEADER_LENGTH), _GZIP_HEADER])

    def write(self, data: memoryview) -> None:
        self._hash.update(data)
        self._store(data)
        self.size += len(data)
        self._start_writeback()

    def close(self) -> Part:
        self._store(memoryview(bytes(-self.size % _TAR_BLOCK)))
        length = (self.size + _TAR_BLOCK - 1) // _TAR_BLOCK * _TAR_BLOCK
        write_all(self._descriptor, [_LAST_BLOCK, _trailer(self._crc, length)])
        header = tar_header(self._name, self.size, self._mtime)
        os.pwrite(self._descriptor, stored_member(header), self._start)
        return Part(self._name, self.size, self._hash.hexdigest())

    def _store(self, data: memoryview) -> None:
        self._crc = zlib.crc32(data, self._crc)
        write_all(self._descriptor, _stored_blocks(data))

    def _start_writeback(self) -> None:
        """Keeps the disk busy from the start, so that the fsync at the end has little left to do."""
        written = self._start + self.size
        if written - self._flushed >= _FLUSH:
            os.posix_fadvise(self._descriptor, self._flushed, written - self._flushed, os.POSIX_FADV_DONTNEED)
            self._flushed = written


def tar_header(name: str, size: int, mtime: int) -> bytes:
    """Always 512 bytes: GNU's format has room for sizes over 8 GiB."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, mtime, 0o640
    return entry.tobuf(tarfile.GNU_FORMAT)


def stored_member(data: bytes) -> bytes:
    """A gzip member with `data`, at most 65,535 bytes, as its content."""
    block = struct.pack("<BHH", 1, len(data), len(data) ^ 0xFFFF)
    return b"".join((_GZIP_HEADER, block, data, _trailer(zlib.crc32(data), len(data))))


def end_of_archive() -> bytes:
    return stored_member(bytes(2 * _TAR_BLOCK))


def _stored_blocks(data: memoryview) -> list[bytes | memoryview]:
    pieces: list[bytes | memoryview] = []
    for start in range(0, len(data), _BLOCK):
        piece = data[start : start + _BLOCK]
        pieces += [struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF), piece]
    return pieces


def _trailer(crc: int, length: int) -> bytes:
    return struct.pack("<II", crc, length & 0xFFFFFFFF)


def write_all(descriptor: int, pieces: list[bytes] | list[bytes | memoryview]) -> None:
    """Writes all of it. A disk that is filling up takes a part of it first, and only the next call gets ENOSPC."""
    waiting = [memoryview(piece) for piece in pieces if len(piece)]
    while waiting:
        written = os.writev(descriptor, waiting[:512])
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if written:
            waiting[0] = waiting[0][written:]


def append_file(target: int, source: int) -> None:
    """Appends all of `source` to `target`. The kernel copies where the filesystem lets it."""
    left, offset = os.fstat(source).st_size, 0
    end = os.lseek(target, 0, os.SEEK_END)
    while left:
        copied = _copy(target, end, source, offset, left)
        if not copied:
            raise OSError(errno.EIO, "a file became shorter while it was copied into the bundle")
        left, offset, end = left - copied, offset + copied, end + copied
    os.lseek(target, 0, os.SEEK_END)


def _copy(target: int, at: int, source: int, offset: int, count: int) -> int:
    try:
        copied = os.copy_file_range(source, target, min(count, 64 << 20), offset, at)
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
        copied = 0
    return copied or os.pwrite(target, os.pread(source, min(count, CHUNK), offset), at)
