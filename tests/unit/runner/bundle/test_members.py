"""Whatever the sizes of the pieces, the result is a tar.gz for any tar and any gzip."""

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotenode_backup.runner.bundle.members import Part, Segment, append_file, end_of_archive, tar_header
from quotenode_backup.runner.process.gzip_blocks import write_all

contents = st.lists(st.binary(max_size=2000) | st.integers(60_000, 200_000).map(bytes), max_size=4)


def written(path: Path, members: Sequence[Sequence[bytes]]) -> list[Part]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        parts = [segment(descriptor, str(number), pieces) for number, pieces in enumerate(members)]
        write_all(descriptor, [end_of_archive()])
    finally:
        os.close(descriptor)
    return parts


def segment(descriptor: int, name: str, pieces: Sequence[bytes]) -> Part:
    member = Segment(descriptor, name, 1_700_000_000)
    for piece in pieces:
        member.write(memoryview(piece))
    return member.close()


def content_of(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    assert file
    return file.read()


@given(members=st.lists(contents, max_size=3))
@settings(max_examples=40, deadline=None)
def test_any_content_is_read_by_gzip_and_tar(
    tmp_path_factory: pytest.TempPathFactory, members: list[list[bytes]]
) -> None:
    path = tmp_path_factory.mktemp("bundle") / "bundle.tar.gz"
    parts = written(path, members)
    with tarfile.open(path) as tar:
        found = [(entry.name, content_of(tar, entry)) for entry in tar]
    assert found == [(str(number), b"".join(pieces)) for number, pieces in enumerate(members)]
    assert [part.sha256 for part in parts] == [hashlib.sha256(content).hexdigest() for _, content in found]
    assert [part.size for part in parts] == [len(content) for _, content in found]


def test_the_systems_gzip_and_tar_read_it_without_a_warning(tmp_path: Path) -> None:
    written(tmp_path / "bundle.tar.gz", [[os.urandom(300_000), b"x"], [], [b"small"]])
    for command in (["gzip", "-t", "bundle.tar.gz"], ["tar", "-xzf", "bundle.tar.gz"]):
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        assert ended.stderr == b""
    assert (tmp_path / "2").read_bytes() == b"small"


def test_a_part_of_many_gigabytes_has_a_header_of_one_block() -> None:
    header = tar_header("files.tar.gz", 5 << 40, 1_700_000_000)
    assert len(header) == 512
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == 5 << 40


def test_a_segment_in_a_file_of_its_own_is_appended_to_the_bundle(tmp_path: Path) -> None:
    dump = os.open(tmp_path / "dump", os.O_RDWR | os.O_CREAT)
    bundle = os.open(tmp_path / "bundle", os.O_RDWR | os.O_CREAT)
    segment(bundle, "files", [b"files" * 100_000])
    segment(dump, "dump", [b"dump" * 100_000])
    append_file(bundle, dump)
    segment(bundle, "last", [b"last"])
    for descriptor in (dump, bundle):
        os.close(descriptor)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress((tmp_path / "bundle").read_bytes()))) as tar:
        assert tar.getnames() == ["files", "dump", "last"]


@pytest.mark.timeout(20)
def test_a_file_that_becomes_shorter_while_it_is_appended_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = os.copy_file_range

    def truncated_meanwhile(source: int, *how: int) -> int:
        os.ftruncate(source, 0)
        return copy(source, *how)

    monkeypatch.setattr(os, "copy_file_range", truncated_meanwhile)
    with (tmp_path / "dump").open("wb+") as dump, (tmp_path / "bundle").open("wb+") as bundle:
        dump.write(b"dump")
        dump.flush()
        with pytest.raises(OSError, match="became shorter"):
            append_file(bundle.fileno(), dump.fileno())
