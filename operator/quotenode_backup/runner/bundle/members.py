"""A bundle is a tar inside gzip, and is written while its parts arrive.

Everything in a bundle is compressed already, and to compress it again would take twenty times as long as to copy it. gzip allows stored blocks,
and one gzip file may consist of many gzip members. So the tar header of a part, whose size is known only at the end of the part, is a gzip member
of its own: it has a fixed length, and is filled in last. Any gzip and any tar read the result.
"""

import errno
import hashlib
import os
import tarfile
from dataclasses import dataclass

from isal import isal_zlib

from quotenode_backup.runner.process.gzip_blocks import (
    HEADER,
    LAST_BLOCK,
    TRAILER_LENGTH,
    stored_blocks,
    stored_member,
    trailer,
    write_all,
)
from quotenode_backup.runner.process.pipeline import CHUNK

_TAR_BLOCK = 512
_HEADER_LENGTH = len(HEADER) + 5 + _TAR_BLOCK + TRAILER_LENGTH
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
        write_all(descriptor, [bytes(_HEADER_LENGTH), HEADER])

    def write(self, data: memoryview) -> None:
        self._hash.update(data)
        self._store(data)
        self.size += len(data)
        self._start_writeback()

    def close(self) -> Part:
        self._store(memoryview(bytes(-self.size % _TAR_BLOCK)))
        length = (self.size + _TAR_BLOCK - 1) // _TAR_BLOCK * _TAR_BLOCK
        write_all(self._descriptor, [LAST_BLOCK, trailer(self._crc, length)])
        header = tar_header(self._name, self.size, self._mtime)
        os.pwrite(self._descriptor, stored_member(header), self._start)
        return Part(self._name, self.size, self._hash.hexdigest())

    def _store(self, data: memoryview) -> None:
        self._crc = isal_zlib.crc32(data, self._crc)
        write_all(self._descriptor, stored_blocks(data))

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


def end_of_archive() -> bytes:
    return stored_member(bytes(2 * _TAR_BLOCK))


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
