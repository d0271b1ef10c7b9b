"""Consecutive gzip members are read as one, however the pieces of the file fall, and nothing that is damaged passes."""

import gzip
import os
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.runner.bundle.gunzip import Member, NotGzip, stored_content
from quotenode_backup.runner.bundle.streams import Unpacked
from quotenode_backup.runner.files.compressible import blocks
from quotenode_backup.runner.process.gzip_blocks import HEADER, LAST_BLOCK, trailer

NOISE = os.urandom(200_000)
TEXT = b"a line of some text\n" * 20_000


def member(*pieces: bytes) -> bytes:
    content = b"".join(pieces)
    packed = b"".join(b"".join(blocks(memoryview(piece))) for piece in pieces)
    return HEADER + packed + LAST_BLOCK + trailer(zlib.crc32(content), len(content))


def cut(data: bytes, step: int) -> Iterator[memoryview]:
    return (memoryview(data)[start : start + step] for start in range(0, len(data), step))


def contents(source: Unpacked) -> Iterator[bytes]:
    while not source.is_at_end():
        yield b"".join(map(bytes, Member(source).content()))


members = st.lists(
    st.lists(st.binary(max_size=2000) | st.sampled_from([NOISE, TEXT, bytes(1 << 20)]), max_size=3), max_size=4
)


@given(members=members, step=st.sampled_from([1000, 65_535, 1 << 18]))
def test_each_member_has_its_content_whatever_its_blocks_are(members: list[list[bytes]], step: int) -> None:
    data = b"".join(member(*pieces) for pieces in members)
    assert list(contents(Unpacked(cut(data, step)))) == [b"".join(pieces) for pieces in members]
    assert gzip.decompress(data) == b"".join(b"".join(pieces) for pieces in members)


def test_pieces_of_one_byte_are_enough() -> None:
    data = member(TEXT[:3000], NOISE[:300]) + member(b"x")
    assert list(contents(Unpacked(cut(data, 1)))) == [TEXT[:3000] + NOISE[:300], b"x"]


def test_the_members_of_any_gzip_are_read() -> None:
    data = gzip.compress(TEXT, 9, mtime=0) + gzip.compress(NOISE, 1, mtime=0)
    assert list(contents(Unpacked(cut(data, 1000)))) == [TEXT, NOISE]


@pytest.mark.parametrize("content", [TEXT, NOISE])
@pytest.mark.parametrize("place", [0, 2, 12, 14, 500, -1, -5, -9])
def test_one_flipped_bit_is_found(content: bytes, place: int) -> None:
    data = bytearray(member(content))
    data[place] ^= 4
    with pytest.raises((NotGzip, EOFError)):
        list(contents(Unpacked(cut(bytes(data), 1000))))


@pytest.mark.parametrize("content", [TEXT, NOISE])
@pytest.mark.parametrize("length", [1, 10, 12, 500, -1, -8, -9])
def test_a_truncated_member_is_found(content: bytes, length: int) -> None:
    with pytest.raises((NotGzip, EOFError)):
        list(contents(Unpacked(cut(member(content)[:length], 1000))))


def test_what_is_compressed_is_refused_where_only_stored_blocks_are_expected() -> None:
    assert b"".join(stored_content(Unpacked(cut(member(NOISE) * 2, 1000)))) == NOISE * 2
    with pytest.raises(NotGzip, match="it is compressed"):
        list(stored_content(Unpacked(cut(member(TEXT), 1000))))


def test_a_member_that_becomes_huge_never_fills_the_memory() -> None:
    data = gzip.compress(bytes(200 << 20), 9, mtime=0)
    tracemalloc.start()
    try:
        assert sum(map(len, Member(Unpacked(cut(data, 65_535))).content())) == 200 << 20
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
