"""The headers of the archive are those that tarfile makes, whichever of the two ways they are made in."""

import os
import tarfile

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quotenode_backup.runner.files.entries import BLOCK, headers, is_time_header, read_header

names = st.binary(min_size=1, max_size=120).filter(lambda name: b"\0" not in name)
owners = st.integers(0, 3_000_000) | st.sampled_from([8**7 - 1, 8**7, 2**32 - 1])
sizes = st.integers(0, 1 << 40) | st.sampled_from([8**11 - 1, 8**11])
moments = st.integers(-(1 << 70), 1 << 70) | st.integers(0, 1 << 61)
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


def entry_of(name: bytes, kind: bytes, target: bytes, mode: int, numbers: tuple[int, int, int, int]) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(os.fsdecode(name))
    entry.type, entry.linkname, entry.mode = kind, os.fsdecode(target), mode
    entry.uid, entry.gid, entry.size, entry.mtime = numbers
    return entry


def described(entry: tarfile.TarInfo) -> tuple[object, ...]:
    numbers = entry.mode, entry.uid, entry.gid, entry.size, entry.mtime
    return entry.name, entry.type, entry.linkname, *numbers


@given(names, kinds, names, st.integers(0, 0o7777), st.tuples(owners, owners, sizes), moments)
def test_a_header_is_byte_for_byte_that_of_tarfile(
    name: bytes, kind: bytes, target: bytes, mode: int, owner_and_size: tuple[int, int, int], moment: int
) -> None:
    entry = entry_of(name, kind, target, mode, (*owner_and_size, moment // 1_000_000_000))
    assert headers(entry, moment)[2 * BLOCK :] == entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


@given(names, kinds, names, st.integers(0, 0o7777), st.tuples(owners, owners, sizes), moments)
def test_a_header_is_read_as_it_was_written(
    name: bytes, kind: bytes, target: bytes, mode: int, owner_and_size: tuple[int, int, int], moment: int
) -> None:
    assume(len(name) <= 100 and len(target) <= 100)
    entry = entry_of(name, kind, target, mode, (*owner_and_size, moment // 1_000_000_000))
    assert described(read_header(headers(entry, moment)[2 * BLOCK :])) == described(entry)


def test_the_header_of_a_time_is_known_however_its_unused_fields_are_written() -> None:
    header = headers(tarfile.TarInfo("a"), 0)[:BLOCK]
    other = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    other.name, other.uname = "PaxHeaders/1", "root"
    length = other.size
    assert is_time_header(header, length)
    assert is_time_header(other.tobuf(tarfile.USTAR_FORMAT), length)
    assert not is_time_header(header, length + 1)
    assert not is_time_header(tarfile.TarInfo("a").tobuf(), 0)


@pytest.mark.parametrize("place", [0, 8, 99, 100, 106, 108, 116, 124, 136, 148, 154, 156, 157, 256, 257, 300, 345, 511])
def test_a_header_with_a_flipped_bit_is_refused(place: int) -> None:
    entry = entry_of(b"offer.pdf", tarfile.REGTYPE, b"", 0o640, (1000, 1000, 7, 1_700_000_000))
    header = bytearray(headers(entry, 1_700_000_000_000_000_000)[2 * BLOCK :])
    header[place] ^= 1
    with pytest.raises(tarfile.TarError):
        read_header(bytes(header))
