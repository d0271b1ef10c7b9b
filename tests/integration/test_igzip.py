"""igzip decompresses what it is given whole, and says so when that is damaged."""

import gzip
import os
import random
import zlib
from collections.abc import Iterator

import pytest

from quotenode_backup.runner.files.igzip import igzip_gunzipped
from quotenode_backup.runner.process.display import Redactor

CONTENT = random.Random(1).randbytes(3_000_000) + bytes(5_000_000)
ONE = gzip.compress(CONTENT, 6)
MANY = b"".join(gzip.compress(CONTENT[start : start + 700_001], 1) for start in range(0, len(CONTENT), 700_001))
ENVIRONMENT = {
    "PATH": f"/shipped/usr/bin:{os.environ['PATH']}",
    "LD_LIBRARY_PATH": f"/shipped/usr/lib/{os.uname().machine}-linux-gnu:{os.environ.get('LD_LIBRARY_PATH', '')}",
}
"""The image's igzip."""


def decompressed(data: bytes) -> bytes:
    chunks = (data[start : start + 100_000] for start in range(0, len(data), 100_000))
    return b"".join(igzip_gunzipped(chunks, ENVIRONMENT, Redactor()))


@pytest.mark.parametrize("data", [ONE, MANY])
def test_one_member_or_many_are_one_stream(data: bytes) -> None:
    assert decompressed(data) == CONTENT


@pytest.mark.parametrize("kept", [5, 100, 1_000_000, -9, -1])
@pytest.mark.parametrize("data", [ONE, MANY])
def test_data_that_ends_too_early_is_noticed(data: bytes, kept: int) -> None:
    with pytest.raises(zlib.error):
        decompressed(data[:kept])


@pytest.mark.parametrize("where", [1_500_000, -6, -2])
def test_a_flipped_bit_is_noticed(where: int) -> None:
    data = bytearray(MANY)
    data[where] ^= 4
    with pytest.raises(zlib.error):
        decompressed(bytes(data))


def test_what_fails_while_the_data_is_read_is_raised() -> None:
    def failing() -> Iterator[bytes]:
        yield ONE[:1000]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="disk is gone"):
        list(igzip_gunzipped(failing(), ENVIRONMENT, Redactor()))


def test_a_reader_that_has_seen_enough_leaves_no_process_behind() -> None:
    pieces = igzip_gunzipped(iter(lambda: ONE, b""), ENVIRONMENT, Redactor())
    assert next(pieces)
    pieces.close()
