"""An index is that of the archive only if every byte, every name and every place agrees."""

import gzip
import hashlib
import os
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle import archived
from quotenode_backup.runner.bundle.members import Part
from quotenode_backup.runner.files.entries import END_OF_ARCHIVE
from quotenode_backup.runner.files.packing import Packer
from quotenode_backup.runner.process.compression import zstd
from tests import bundle_maker
from tests.unit.fakes import archives
from tests.unit.fakes.archives import Archived, build
from tests.unit.runner.bundle.test_reader import read

NOISE = os.urandom(2 << 20)


@pytest.fixture
def made(tmp_path: Path) -> Archived:
    text = b"a line of some text\n" * 60_000
    small = {b"%d" % number: (NOISE[: number * 1000], 0o600, number) for number in range(20)}
    tree = {b"\xff" * 120: b"link" * 30, b"folder": small, b"noise": (NOISE, 0o640, 1), b"text": (text, 0o640, 1)}
    build(tmp_path / "source", tree)
    os.link(tmp_path / "source" / "noise", tmp_path / "source" / "same")
    return archives.archived(tmp_path / "source")


def pieces(content: bytes) -> Iterator[memoryview]:
    return (memoryview(content)[start : start + 60_000] for start in range(0, len(content), 60_000))


def test_the_index_is_made_again_from_the_archive_alone(made: Archived) -> None:
    again = archived.made_again(pieces(made.content))
    assert again == archived.read_again(pieces(made.index)) == hashlib.sha256(b"".join(made.lines)).hexdigest()


def test_an_archive_without_entries_has_an_index_without_lines(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    made = archives.archived(tmp_path / "empty")
    assert made.lines == []
    assert archived.made_again(pieces(made.content)) == archived.read_again(pieces(made.index))


@pytest.mark.parametrize("seed", range(20))
def test_no_flipped_bit_in_the_archive_passes(made: Archived, seed: int) -> None:
    damaged = bytearray(made.content)
    damaged[random.Random(seed).randrange(len(damaged))] ^= 1 << seed % 8
    try:
        assert archived.made_again(pieces(bytes(damaged))) != archived.read_again(pieces(made.index))
    except (ValueError, EOFError, tarfile.TarError):
        return


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data * 2])
def test_an_index_or_an_archive_with_too_little_or_too_much_is_refused(made: Archived, change: object) -> None:
    assert callable(change)
    for hash_of, content in ((archived.made_again, made.content), (archived.read_again, made.index)):
        with pytest.raises((ValueError, EOFError)):
            hash_of(pieces(change(content)))


def test_an_archive_without_its_end_is_refused(made: Archived) -> None:
    last = made.entries[-1]
    with pytest.raises(EOFError, match="no end"):
        archived.made_again(pieces(made.content[: last.offset + last.length]))


def test_an_end_in_the_middle_of_the_archive_is_refused(made: Archived, tmp_path: Path) -> None:
    with (tmp_path / "end").open("wb") as file:
        packer = Packer(file.fileno(), lambda _offset, _length: None)
        packer.write(END_OF_ARCHIVE)
        packer.end_member()
    with pytest.raises(ValueError, match="after the end"):
        archived.made_again(pieces((tmp_path / "end").read_bytes() + made.content))


def packed(path: Path, content: dict[str, bytes]) -> list[Part]:
    bundle_maker.pack(path, content)
    return [Part(name, len(data), bundle_maker.sha256(data)) for name, data in content.items()]


@pytest.mark.parametrize("order", [[shape.FILES, shape.INDEX], [shape.INDEX, shape.FILES]])
def test_a_bundle_with_the_index_of_its_archive_passes(made: Archived, tmp_path: Path, order: list[str]) -> None:
    content = {shape.FILES: made.content, shape.INDEX: made.index}
    read(tmp_path / "bundle", packed(tmp_path / "bundle", {name: content[name] for name in order}))


@pytest.mark.parametrize("field", ["size", "mtimeNs", "mode", "uid", "gid", "offset", "length", "at"])
def test_one_wrong_digit_in_the_index_fails_the_read_back(made: Archived, tmp_path: Path, field: str) -> None:
    line = made.lines[3]
    before, after = line.split(b'"%s":' % field.encode())
    wrong = line.replace(after, after.translate(bytes.maketrans(b"0123456789", b"1032547698")))
    assert before
    index = zstd.compress(b"".join(wrong if one == line else one for one in made.lines))
    content = {shape.FILES: made.content, shape.INDEX: index}
    parts = packed(tmp_path / "bundle", content)
    with pytest.raises(RunFailed, match="the index of the files is not that of the archive") as failure:
        read(tmp_path / "bundle", parts)
    assert failure.value.reason is Reason.READ_BACK_MISMATCH


def test_an_index_without_its_archive_fails_the_read_back(made: Archived, tmp_path: Path) -> None:
    parts = packed(tmp_path / "bundle", {shape.INDEX: made.index})
    with pytest.raises(RunFailed, match="the index of the files is not that of the archive"):
        read(tmp_path / "bundle", parts)


@pytest.mark.parametrize("archive", [b"", b"not gzip at all", gzip.compress(bytes(3_000_000))])
def test_an_archive_that_no_backup_of_this_format_writes_may_only_be_in_a_bundle_without_an_index(
    made: Archived, tmp_path: Path, archive: bytes
) -> None:
    """Those of format 1 are such."""
    read(tmp_path / "bundle", packed(tmp_path / "bundle", {shape.FILES: archive}))
    parts = packed(tmp_path / "bundle", {shape.FILES: archive, shape.INDEX: made.index})
    with pytest.raises(RunFailed, match=r"the index of the files is not that of the archive \(.+\)"):
        read(tmp_path / "bundle", parts)


def test_a_bundle_that_is_cut_off_in_its_archive_is_found(made: Archived, tmp_path: Path) -> None:
    parts = packed(tmp_path / "bundle", {shape.FILES: made.content, shape.INDEX: made.index})
    os.truncate(tmp_path / "bundle", len(made.content) // 2)
    with pytest.raises(RunFailed, match="it ends too early"):
        read(tmp_path / "bundle", parts)
