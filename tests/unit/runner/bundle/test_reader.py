"""A bundle whose bytes changed on the disk is never taken for what was written."""

import gzip
import os
import random
import tracemalloc
from io import FileIO
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle.members import Part, tar_header
from quotenode_backup.runner.bundle.reader import Reading, Restorer, read_back
from quotenode_backup.runner.postgres.clients import Client
from quotenode_backup.runner.process.display import Redactor
from tests.unit.runner.bundle.test_members import written

CONTENT = [[os.urandom(250_000)], [b"small"]]


def read(path: Path, expected: list[Part]) -> Reading:
    """All of a bundle that must hold these members."""
    reading = Reading(Restorer(Client(17, Path("/nowhere")), {"PATH": os.environ["PATH"]}, Redactor()))
    read_back(reading, lambda: FileIO(path), expected)
    return reading


def test_an_unchanged_bundle_passes(tmp_path: Path) -> None:
    parts = written(tmp_path / "bundle", CONTENT)
    assert read(tmp_path / "bundle", parts).size == (tmp_path / "bundle").stat().st_size


@pytest.mark.parametrize("seed", range(12))
def test_one_flipped_bit_anywhere_in_the_content_is_found(tmp_path: Path, seed: int) -> None:
    parts = written(tmp_path / "bundle", CONTENT)
    data = bytearray((tmp_path / "bundle").read_bytes())
    data[random.Random(seed).randrange(600, 250_000)] ^= 1 << seed % 8
    (tmp_path / "bundle").write_bytes(data)
    refused(tmp_path / "bundle", parts)


@pytest.mark.parametrize("length", [0, 10, 600, 200_000, -1])
def test_a_truncated_bundle_is_found(tmp_path: Path, length: int) -> None:
    parts = written(tmp_path / "bundle", CONTENT)
    os.truncate(tmp_path / "bundle", length % ((tmp_path / "bundle").stat().st_size + 1))
    os.truncate(tmp_path / "bundle", (tmp_path / "bundle").stat().st_size - (length == -1))
    refused(tmp_path / "bundle", parts)


def test_a_bundle_that_cannot_be_opened_again_is_reported_as_an_error_of_reading(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="Reading the bundle back failed: No such file") as failure:
        read(tmp_path / "bundle", [])
    assert failure.value.reason is Reason.IO_ERROR


def test_a_member_too_many_is_found(tmp_path: Path) -> None:
    parts = written(tmp_path / "bundle", CONTENT)
    refused(tmp_path / "bundle", parts[:1])


def test_members_in_another_order_are_found(tmp_path: Path) -> None:
    parts = written(tmp_path / "bundle", CONTENT)
    refused(tmp_path / "bundle", parts[::-1])


def test_a_file_that_decompresses_to_more_than_its_size_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bundle", "wb") as file:
        file.write(tar_header("files.tar.gz", 200 << 20, 0))
        for _ in range(200):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        refused(tmp_path / "bundle", [])
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_tar_of_countless_members_is_refused_at_once(tmp_path: Path) -> None:
    written(tmp_path / "bundle", [[b"x"]] * 20)
    refused(tmp_path / "bundle", [])


def refused(path: Path, expected: list[Part]) -> None:
    with pytest.raises(RunFailed) as failure:
        read(path, expected)
    assert failure.value.reason is Reason.READ_BACK_MISMATCH
