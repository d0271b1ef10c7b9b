"""The headers of a tar, which anybody can have written: what is not plainly one of the formats that tar programs write is refused."""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

BLOCK = 512
_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s80s155s12x")
_CHECKSUM_START, _CHECKSUM_END = 148, 156
_ADLER = 65_521
_POSIX = b"ustar\x0000"
_TIME = re.compile(rb"(-?)(\d{1,19})(?:\.(\d{1,30}))?")
_SECOND = 1_000_000_000
_LARGEST_ID = (1 << 32) - 1
_FURTHEST = 1 << 63
"""The seconds of a time that the kernel can represent."""


class NotAnArchive(Exception):
    """What is wrong with an archive, as the end of a sentence."""


class Kind(Enum):
    FILE = b"0"
    HARD_LINK = b"1"
    LINK = b"2"
    FOLDER = b"5"


LONG_TARGET, LONG_NAME, EXTENDED = b"K", b"L", b"x"
_REFUSED = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a fifo",
    b"S": "a sparse file",
    b"g": "a header for the whole archive",
}


@dataclass(frozen=True, slots=True)
class Header:
    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    modified: int
    """In nanoseconds since 1970."""
    target: bytes


def header_of(block: bytes) -> Header:
    name, mode, uid, gid, size, modified, checksum, kind, target, magic, _, prefix = _FIELDS.unpack(block)
    if not _sum_matches(block, _number(checksum)):
        raise NotAnArchive("a header in it is damaged")
    name = name.partition(b"\0")[0]
    if magic == _POSIX and prefix[0]:
        name = prefix.partition(b"\0")[0] + b"/" + name
    return Header(
        name,
        b"0" if kind in b"\0" else kind,
        _number(mode) & 0o7777,
        owner_of(_number(uid)),
        owner_of(_number(gid)),
        _size(_number(size)),
        _second_of(_number(modified)) * _SECOND,
        target.partition(b"\0")[0],
    )


def kind_of(header: Header) -> Kind:
    try:
        kind = Kind(header.kind)
    except ValueError:
        raise NotAnArchive(f"it is {_REFUSED.get(header.kind, 'of an unknown kind')}") from None
    if kind is not Kind.FILE and header.size:
        raise NotAnArchive("only a file can have a content")
    return kind


def _sum_matches(block: bytes, expected: int) -> bool:
    """The checksum is the sum of all bytes, with those of the checksum itself as spaces. The lower half of an Adler-32 is one more than that sum,
    modulo 65521, and zlib computes it thirty times faster than Python's `sum`."""
    spaced = block[:_CHECKSUM_START] + b" " * 8 + block[_CHECKSUM_END:]
    return (zlib.adler32(spaced) & 0xFFFF) == (expected + 1) % _ADLER


def _number(field: bytes) -> int:
    """Octal digits, or in GNU's format a binary number of either sign."""
    if field[0] >= 0x80:
        if field[0] not in (0x80, 0xFF):
            raise NotAnArchive("a number in a header is damaged")
        return int.from_bytes(b"\0" + field[1:] if field[0] == 0x80 else field, signed=True)
    digits = field.strip(b" \0")
    if not digits.isdigit():
        if digits:
            raise NotAnArchive("a number in a header is damaged")
        return 0
    try:
        return int(digits, 8)
    except ValueError:
        raise NotAnArchive("a number in a header is damaged") from None


def owner_of(number: int) -> int:
    if not 0 <= number <= _LARGEST_ID:
        raise NotAnArchive("its owner cannot be read")
    return number


def _second_of(number: int) -> int:
    if not -_FURTHEST <= number < _FURTHEST:
        raise NotAnArchive("its time cannot be read")
    return number


def _size(size: int) -> int:
    if size < 0:
        raise NotAnArchive("its size is negative")
    return size


def records_of(data: bytes) -> dict[bytes, bytes]:
    """The records of an extended header of the pax format."""
    return dict(_records(data))


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start < len(data):
        length, space, _ = data[start : start + 20].partition(b" ")
        if not (space and length.isdigit()):
            raise NotAnArchive("an extended header in it is damaged")
        end = start + int(length)
        key, equals, value = data[start + len(length) + 1 : end - 1].partition(b"=")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise NotAnArchive("an extended header in it is damaged")
        yield key, value
        start = end


def nanoseconds_of(value: bytes) -> int:
    """A time of the pax format, which is a decimal number of seconds."""
    match = _TIME.fullmatch(value)
    if not match or int(match[2]) >= _FURTHEST:
        raise NotAnArchive("its time cannot be read")
    fraction = int((match[3] or b"0")[:9].ljust(9, b"0"))
    time = int(match[2]) * _SECOND + fraction
    return -time if match[1] else time


def number_of(value: bytes) -> int:
    """A size or an ID of the pax format."""
    if not (value.isdigit() and len(value) <= 19):
        raise NotAnArchive("a number in an extended header is damaged")
    return int(value)
