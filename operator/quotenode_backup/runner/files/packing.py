"""Packs the entries of a tar into gzip members.

An entry is never divided between two members, and a large entry has a member of its own: it can be read without the others, and taken over by a later
archive. Small entries share a member, since each of them alone would not compress. A member is written while its content arrives, so its size does not
matter.
"""

from collections.abc import Callable

from isal import isal_zlib

from quotenode_backup.runner.files.compressible import blocks, has_compressed_format
from quotenode_backup.runner.process.gzip_blocks import HEADER, LAST_BLOCK, Pieces, trailer, write_all

GATHERED = 1 << 20
"""The most bytes of the tar that entries share a member in."""
_PIECE = 1 << 20


class Packer:
    """`placed` is called at the end of each member, with its offset and its length."""

    def __init__(self, descriptor: int, placed: Callable[[int, int], None]) -> None:
        self._descriptor, self._placed = descriptor, placed
        self._piece, self._filled = memoryview(bytearray(_PIECE)), 0
        self._start = self._end = 0
        self._crc = self._length = 0
        self._is_alone = self._has_compressed_format = False

    def begin(self, size: int) -> int:
        """Begins an entry of `size` bytes. Gives its place in the content of its member."""
        if self._length and self._length + size > GATHERED:
            self.end_member()
        self._is_alone = size > GATHERED
        return self._length

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            room = self.room()
            count = min(len(left), len(room))
            room[:count] = left[:count]
            self.fill(count)
            left = left[count:]

    def room(self) -> memoryview:
        """Where the next bytes of the entry go. Whoever puts some there calls `fill`."""
        return self._piece[self._filled :]

    def fill(self, count: int) -> None:
        self._filled += count
        self._length += count
        if self._filled == _PIECE:
            self._put_piece()

    def note_beginning(self, content: bytes) -> None:
        """The first bytes of the content of an entry. Entries that share a member may be of several formats."""
        self._has_compressed_format = self._is_alone and has_compressed_format(content)

    def end_member(self) -> None:
        """The next entry has another member. Nothing happens if nothing was written since the last one."""
        if not self._length:
            return
        self._put_piece()
        self._put([LAST_BLOCK, trailer(self._crc, self._length)])
        self._placed(self._start, self._end - self._start)
        self._start = self._end
        self._crc = self._length = 0
        self._has_compressed_format = False

    def _put_piece(self) -> None:
        piece = self._piece[: self._filled]
        self._crc = isal_zlib.crc32(piece, self._crc)
        begin: Pieces = [HEADER] if self._start == self._end else []
        self._put([*begin, *blocks(piece, has_compressed_format=self._has_compressed_format)])
        self._filled = 0

    def _put(self, pieces: Pieces) -> None:
        write_all(self._descriptor, pieces)
        self._end += sum(map(len, pieces))
