"""Reads consecutive gzip members.

Most of what a bundle consists of are stored blocks. They are passed on as they are, without a copy, which a decompressor cannot do.
"""

import struct
from collections.abc import Iterator

from isal import isal_zlib

from quotenode_backup.runner.bundle.streams import Unpacked
from quotenode_backup.runner.process.gzip_blocks import HEADER, TRAILER_LENGTH
from quotenode_backup.runner.process.pipeline import CHUNK

_STORED = (0, 1)
"""The first byte of a stored block that begins on a whole byte. Every other kind of block begins with another byte."""
_ANY_HEADER = HEADER[:8]
"""A gzip header without a name. The two bytes that follow only say which program wrote it."""
_Damaged: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]  # its types call the class an instance


class NotGzip(ValueError):
    """What was read is no gzip file, or it was damaged since it was written."""


def stored_content(source: Unpacked) -> Iterator[memoryview]:
    """The content of all members, which must consist of stored blocks.

    That of a bundle is never larger than the bundle then. A file whose content is larger is not a bundle, and could fill the memory.
    """
    while not source.is_at_end():
        member = Member(source)
        yield from member.stored()
        if not member.has_ended:
            raise NotGzip("it is compressed, which no bundle is")


class Member:
    """The next member. Its content must be read to the end, which checks its sum, before anything else is read from `source`."""

    def __init__(self, source: Unpacked) -> None:
        self._source = source
        self._crc = self._length = 0
        self._is_last = False
        self.has_ended = False
        if not source.exactly(len(HEADER)).startswith(_ANY_HEADER):
            raise NotGzip("it is not compressed in the way that a backup does it")

    def content(self) -> Iterator[memoryview]:
        yield from self.stored()
        if not self.has_ended:
            yield from self._inflated()
            self._check()

    def stored(self) -> Iterator[memoryview]:
        """The content of the stored blocks at the beginning."""
        while not self._is_last:
            kind = self._source.exactly(1)
            if kind[0] not in _STORED:
                self._source.give_back(kind)
                return
            self._is_last = kind[0] == 1
            yield from self._block()
        self._check()

    def _block(self) -> Iterator[memoryview]:
        length, complement = struct.unpack("<HH", self._source.exactly(4))
        if length != complement ^ 0xFFFF:
            raise NotGzip("one of its blocks is damaged")
        while length:
            piece = self._source.at_most(length)
            if not piece:
                raise EOFError("it ends too early")
            length -= len(piece)
            yield self._counted(piece)

    def _inflated(self) -> Iterator[memoryview]:
        """The content of the rest. However much it is, no more than a chunk is in memory."""
        inflater = isal_zlib.decompressobj(-15)
        waiting: bytes | memoryview = b""
        while not inflater.eof:
            waiting = waiting or self._source.at_most(CHUNK)
            try:
                piece = inflater.decompress(waiting, CHUNK)
            except _Damaged as error:
                raise NotGzip(str(error)) from error
            if not (waiting or piece):
                raise EOFError("it ends too early")
            waiting = inflater.unconsumed_tail
            yield self._counted(memoryview(piece))
        self._source.give_back(inflater.unused_data)

    def _counted(self, piece: memoryview) -> memoryview:
        self._crc = isal_zlib.crc32(piece, self._crc)
        self._length += len(piece)
        return piece

    def _check(self) -> None:
        expected = struct.unpack("<II", self._source.exactly(TRAILER_LENGTH))
        if expected != (self._crc, self._length & 0xFFFFFFFF):
            raise NotGzip("the sum of one of its members is wrong")
        self.has_ended = True
