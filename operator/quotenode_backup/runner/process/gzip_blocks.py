"""gzip members that are put together block by block.

gzip allows stored blocks, which no compressor is needed for, and one gzip file may consist of many members. Any gzip reads the result as one stream.
"""

import os
import struct

from isal import isal_zlib

HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
LAST_BLOCK = b"\x01\0\0\xff\xff"
"""An empty stored block that ends a member."""
TRAILER_LENGTH = 8
LARGEST_BLOCK = 65_535

Pieces = list[bytes | memoryview]


def stored_blocks(data: memoryview) -> Pieces:
    pieces: Pieces = []
    for start in range(0, len(data), LARGEST_BLOCK):
        piece = data[start : start + LARGEST_BLOCK]
        pieces += [struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF), piece]
    return pieces


def stored_member(data: bytes) -> bytes:
    """A gzip member with `data`, at most 65,535 bytes, as its content."""
    block = struct.pack("<BHH", 1, len(data), len(data) ^ 0xFFFF)
    return b"".join((HEADER, block, data, trailer(isal_zlib.crc32(data), len(data))))


def trailer(crc: int, length: int) -> bytes:
    return struct.pack("<II", crc, length & 0xFFFFFFFF)


def write_all(descriptor: int, pieces: Pieces) -> None:
    """Writes all of it. A disk that is filling up takes a part of it first, and only the next call gets ENOSPC."""
    waiting = [memoryview(piece) for piece in pieces if len(piece)]
    while waiting:
        written = os.writev(descriptor, waiting[:512])
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if written:
            waiting[0] = waiting[0][written:]
