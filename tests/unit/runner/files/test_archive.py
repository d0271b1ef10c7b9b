"""The archive child as the runner starts it, opened with the system's tar."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from quotenode_backup.domain.reasons import Exit, Reason
from quotenode_backup.runner.files.account import NOTES_KEPT, Account
from tests.unit.fakes.archives import archived, build, extracted, trees, write
from tests.unit.fakes.site import content_of


@given(tree=trees)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_comes_back_from_tar_as_it_was(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    folder = tmp_path_factory.mktemp("tree")
    build(folder / "source", tree)
    tar = archived(folder / "source")
    assert content_of(extracted(tar.content, folder / "out")) == content_of(folder / "source")


def test_a_named_source_is_a_folder_of_the_archive_with_its_own_time(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "2026" / "pdfs").mkdir(parents=True)
    (source / "2026" / "pdfs" / "offer.pdf").write_bytes(b"%PDF")
    os.utime(source / "2026", ns=(123_456_789, 123_456_789))
    tar = archived(source, name="uploads", sub_path="2026")
    out = extracted(tar.content, tmp_path / "out")
    assert content_of(out / "uploads") == content_of(source / "2026")
    assert (out / "uploads").stat().st_mtime_ns == 123_456_789


def test_times_before_1970_are_kept(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    write(tmp_path / "source" / "old", b"", 0o644, -1_500_000_000)
    tar = archived(tmp_path / "source")
    subprocess.run(["tar", "-xzf", "-", "-C", tmp_path], input=tar.content, capture_output=True, check=True)
    assert (tmp_path / "old").stat().st_mtime_ns == -1_500_000_000


def test_an_entry_that_is_not_a_file_is_left_out_and_noted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "kept").write_bytes(b"x")
    os.mkfifo(source / "pipe\n1")
    made = archived(source)
    assert set(content_of(extracted(made.content, tmp_path / "out"))) == {b"kept"}
    assert made.reported["done"]["notes"] == [{"path": "pipe\\n1", "note": "fifo: left out"}]


def test_set_user_id_bits_are_dropped_and_noted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "program").write_bytes(b"x")
    (source / "program").chmod(0o6755)
    made = archived(source)
    assert (extracted(made.content, tmp_path / "out") / "program").stat().st_mode & 0o7777 == 0o755
    assert made.reported["done"]["note_count"] == 1


def test_lost_and_found_is_skipped_at_the_root_of_a_claim_alone(tmp_path: Path) -> None:
    for folder in ("lost+found", "deeper/lost+found"):
        (tmp_path / "source" / folder).mkdir(parents=True)
    whole = archived(tmp_path / "source")
    assert set(content_of(extracted(whole.content, tmp_path / "out"))) == {b"deeper", b"deeper/lost+found"}
    part = archived(tmp_path / "source", sub_path="deeper")
    assert set(content_of(extracted(part.content, tmp_path / "part"))) == {b"lost+found"}


def test_a_hard_link_has_the_content_of_its_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "one").write_bytes(b"content" * 1000)
    os.link(source / "one", source / "two")
    made = archived(source)
    assert content_of(extracted(made.content, tmp_path / "out")) == content_of(source)
    assert made.reported["done"]["bytes"] == 7000


def test_a_missing_path_is_reported_with_its_reason(tmp_path: Path) -> None:
    made = archived(tmp_path, sub_path="nowhere", code=Exit.BAD_CONFIG)
    assert made.reported["failed"]["reason"] == Reason.SOURCE_PATH_MISSING


def test_all_notes_are_counted_and_the_first_ones_are_kept() -> None:
    account = Account()
    for number in range(NOTES_KEPT + 5):
        account.note(f"file {number}", "vanished")
    assert account.note_count == NOTES_KEPT + 5
    assert len(account.notes) == NOTES_KEPT


def test_what_a_restore_left_at_the_root_of_a_source_is_not_in_the_archive(tmp_path: Path) -> None:
    for folder in (".quotenode-restore-1/old", "deeper/.quotenode-restore-1"):
        (tmp_path / "source" / folder).mkdir(parents=True)
        (tmp_path / "source" / folder / "file").touch()
    made = archived(tmp_path / "source", name="uploads")
    kept = {
        b"uploads",
        *(b"uploads/deeper" + name for name in (b"", b"/.quotenode-restore-1", b"/.quotenode-restore-1/file")),
    }
    assert set(content_of(extracted(made.content, tmp_path / "out"))) == kept
    assert made.reported["done"]["leftovers"] == 1
    note = {"path": "uploads/.quotenode-restore-1", "note": "leftover of a restore: left out"}
    assert made.reported["done"]["notes"] == [note]
