"""What is stored takes no more room than it has, and any gzip reads whatever is chosen."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.runner.files.compressible import blocks, has_compressed_format
from quotenode_backup.runner.process.gzip_blocks import LAST_BLOCK

NOISE = os.urandom(1 << 20)
TEXT = b"a line of some text\n" * 52_000


def packed(piece: bytes, *, known: bool = False) -> bytes:
    return b"".join(blocks(memoryview(piece), has_compressed_format=known))


@given(st.lists(st.binary(max_size=3000) | st.sampled_from([NOISE, TEXT, TEXT[:700] + NOISE[:90_000]]), max_size=4))
def test_pieces_one_after_the_other_are_one_deflate_stream(pieces: list[bytes]) -> None:
    stream = b"".join(map(packed, pieces)) + LAST_BLOCK
    assert zlib.decompress(stream, -15) == b"".join(pieces)


@pytest.mark.parametrize("known", [False, True])
def test_nothing_is_no_block(known: bool) -> None:
    assert packed(b"", known=known) == b""


def test_noise_is_stored_and_text_is_compressed() -> None:
    assert len(packed(NOISE)) == len(NOISE) + 17 * 5
    assert len(packed(TEXT)) < len(TEXT) / 20


def test_text_after_a_beginning_that_does_not_compress_is_compressed() -> None:
    assert len(packed(NOISE[:100_000] + TEXT[:900_000])) < 150_000


def test_a_large_part_of_a_film_that_was_never_written_is_compressed_all_the_same() -> None:
    assert len(packed(bytes(1 << 20), known=True)) < 10_000


def test_a_picture_that_would_save_little_is_stored() -> None:
    picture = b"".join(NOISE[start : start + 9000] + bytes(1000) for start in range(0, 1_000_000, 10_000))
    assert len(packed(picture)) < len(picture) < len(packed(picture, known=True))


@pytest.mark.parametrize(
    "beginning",
    [
        b"PK\x03\x04\x14\0",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"RIFF\x24\0\0\0WEBPVP8 ",
        b"\0\0\0\x20ftypisom",
        b"\x1f\x8b\x08",
        b"\x28\xb5\x2f\xfd\x04",
        b"7z\xbc\xaf\x27\x1c",
        b"\xfd7zXZ\0",
        b"BZh91AY",
    ],
)
def test_formats_that_are_compressed_are_known_by_how_they_begin(beginning: bytes) -> None:
    assert has_compressed_format(beginning)


@pytest.mark.parametrize("beginning", [b"", b"P", b"%PDF-1.7\n", b"RIFF\x24\0\0\0WAVEfmt ", b"plain text", bytes(12)])
def test_anything_else_is_tried(beginning: bytes) -> None:
    assert not has_compressed_format(beginning)
