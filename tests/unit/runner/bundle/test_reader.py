"""A bundle whose bytes changed on the disk is never taken for what was written."""

import gzip
import hashlib
import os
import random
import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from io import FileIO
from pathlib import Path

import pytest

from quotenode_backup.contract.tables import DumpedTable, table_list
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle.members import Part, end_of_archive, tar_header
from quotenode_backup.runner.bundle.reader import Mismatch, Reading, Restorer, reading_back
from quotenode_backup.runner.postgres.clients import Client
from quotenode_backup.runner.process.display import Redactor
from quotenode_backup.runner.process.gzip_blocks import write_all
from tests import bundle_maker
from tests.unit.fakes.site import DUMP, make_restorer
from tests.unit.runner.bundle.test_members import segment, written

CONTENT = [[os.urandom(250_000)], [b"small"]]


def read(path: Path, expected: list[Part]) -> Reading:
    """All of a bundle that must hold these members."""
    reading = Reading(Restorer(Client(17, Path("/nowhere")), {"PATH": os.environ["PATH"]}, Redactor()))
    with reading_back(reading, lambda: FileIO(path)) as read_back:
        read_back.rest(expected)
    return reading


def read_in_two_steps(path: Path, between: Callable[[int], object] = lambda _: None) -> str:
    """Reads a bundle of one member before the second one is added. `between` may spoil what was read."""
    reading = Reading(Restorer(Client(17, Path("/nowhere")), {"PATH": os.environ["PATH"]}, Redactor()))
    bundle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        parts = [segment(bundle, "content", [os.urandom(700_001)])]
        with reading_back(reading, lambda: FileIO(path)) as read_back:
            read_back.content(parts)
            between(bundle)
            parts.append(segment(bundle, "manifest", [b"what was counted"]))
            write_all(bundle, [end_of_archive()])
            return read_back.rest(parts)
    finally:
        os.close(bundle)


def test_an_unchanged_bundle_passes(tmp_path: Path) -> None:
    parts = written(tmp_path / "bundle", CONTENT)
    assert read(tmp_path / "bundle", parts).size == (tmp_path / "bundle").stat().st_size


def test_what_is_added_after_the_content_was_read_is_read_too(tmp_path: Path) -> None:
    sha256 = read_in_two_steps(tmp_path / "bundle")
    assert sha256 == hashlib.sha256((tmp_path / "bundle").read_bytes()).hexdigest()


def test_content_beside_what_is_added_must_still_be_what_was_read(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as failure:
        read_in_two_steps(tmp_path / "bundle", lambda bundle: os.pwrite(bundle, b"spoilt", 700_000))
    assert failure.value.reason is Reason.READ_BACK_MISMATCH


@pytest.mark.parametrize(("script", "is_refused"), [("COPY (SELECT 1) TO stdout;", False), ("", True)])
def test_a_list_of_tables_is_compared_with_the_dump_unless_its_rows_cannot_be_counted(
    tmp_path: Path, script: str, is_refused: bool
) -> None:
    restorer = make_restorer(tmp_path, f"cat > /dev/null\nprintf %s '{script}'")
    listed = table_list([DumpedTable(schema_name="public", name="customers", rows=2, sha256="a" * 64)])
    bundle_maker.pack(tmp_path / "bundle", {shape.DUMP: DUMP, shape.TABLES: listed})
    with FileIO(tmp_path / "bundle") as file, pytest.raises(Mismatch) if is_refused else nullcontext():
        Reading(restorer).contents(file)


def test_rows_are_counted_in_what_pg_restore_writes(tmp_path: Path) -> None:
    restorer = make_restorer(tmp_path)
    script = "COPY public.customers (id) FROM stdin;\n1\n2\n\\.\n"
    program = Path(restorer.client.pg_restore)
    program.write_text(f"#!/bin/sh\ncat > /dev/null\nprintf %s '{script}'\n".replace("\\n", "\n"))
    bundle_maker.pack(tmp_path / "bundle", {shape.DUMP: DUMP})
    reading = Reading(restorer)
    with FileIO(tmp_path / "bundle") as file:
        reading.contents(file)
    tables = reading.rows.tables()
    assert tables
    assert [(table.schema_name, table.name, table.rows) for table in tables] == [("public", "customers", 2)]


def test_a_pg_restore_that_fails_is_a_mismatch_and_leaves_no_process(tmp_path: Path) -> None:
    restorer = make_restorer(tmp_path)
    Path(restorer.client.pg_restore).write_text("#!/bin/sh\nyes | head -c 3000000\necho 'no header' >&2\nexit 1\n")
    bundle_maker.pack(tmp_path / "bundle", {shape.DUMP: DUMP * 5000})
    with FileIO(tmp_path / "bundle") as file, pytest.raises(Mismatch, match="no header"):
        Reading(restorer).contents(file)


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
