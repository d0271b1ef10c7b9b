"""The archive child as the runner starts it, opened with the system's tar."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import quotenode_backup
from quotenode_backup.domain.reasons import Exit, Reason
from quotenode_backup.runner.files.account import NOTES_KEPT, Account
from tests.unit.fakes.site import content_of

PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)


def archived(root: Path, *, name: str = ".", sub_path: str = "", code: int = 0) -> tuple[bytes, dict[str, Any]]:
    """The tar, and the last thing that was reported."""
    sources = json.dumps([{"name": name, "root": str(root), "subPath": sub_path, "claimName": "uploads"}])
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "quotenode_backup", "archive", str(writing), sources]
    ended = subprocess.run(
        command, env={"PYTHONPATH": PACKAGE}, pass_fds=[writing], stdout=subprocess.PIPE, check=False
    )
    os.close(writing)
    with os.fdopen(reading) as report:
        last = json.loads(report.read().splitlines()[-1])
    assert ended.returncode == code
    return ended.stdout, last


def extracted(tar: bytes, folder: Path) -> Path:
    folder.mkdir()
    ended = subprocess.run(["tar", "-xpf", "-", "-C", folder], input=tar, capture_output=True, check=True)
    assert ended.stderr == b""
    return folder


names = st.binary(min_size=1, max_size=60).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
moments = st.integers(0, 1_700_000_000_000_000_000)
leaves = st.tuples(st.binary(max_size=3000), st.sampled_from([0o600, 0o644, 0o755]), moments)
trees = st.recursive(
    st.dictionaries(
        names, leaves | st.binary(min_size=1, max_size=200).filter(lambda target: b"\0" not in target), max_size=5
    ),
    lambda below: st.dictionaries(names, below | leaves, max_size=4),
    max_leaves=12,
)


def build(folder: Path, tree: Any) -> None:
    folder.mkdir()
    for name, what in tree.items():
        path = folder / os.fsdecode(name)
        if isinstance(what, dict):
            build(path, what)
        elif isinstance(what, bytes):
            path.symlink_to(os.fsdecode(what))
        else:
            write(path, *what)


def write(path: Path, content: bytes, mode: int, moment: int) -> None:
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(moment, moment))


@given(tree=trees)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_comes_back_from_tar_as_it_was(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    folder = tmp_path_factory.mktemp("tree")
    build(folder / "source", tree)
    tar, _ = archived(folder / "source")
    assert content_of(extracted(tar, folder / "out")) == content_of(folder / "source")


def test_a_named_source_is_a_folder_of_the_archive_with_its_own_time(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "2026" / "pdfs").mkdir(parents=True)
    (source / "2026" / "pdfs" / "offer.pdf").write_bytes(b"%PDF")
    os.utime(source / "2026", ns=(123_456_789, 123_456_789))
    tar, _ = archived(source, name="uploads", sub_path="2026")
    out = extracted(tar, tmp_path / "out")
    assert content_of(out / "uploads") == content_of(source / "2026")
    assert (out / "uploads").stat().st_mtime_ns == 123_456_789


def test_times_before_1970_are_kept(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    write(tmp_path / "source" / "old", b"", 0o644, -1_500_000_000)
    tar, _ = archived(tmp_path / "source")
    subprocess.run(["tar", "-xf", "-", "-C", tmp_path], input=tar, capture_output=True, check=True)
    assert (tmp_path / "old").stat().st_mtime_ns == -1_500_000_000


def test_an_entry_that_is_not_a_file_is_left_out_and_noted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "kept").write_bytes(b"x")
    os.mkfifo(source / "pipe\n1")
    tar, told = archived(source)
    assert set(content_of(extracted(tar, tmp_path / "out"))) == {b"kept"}
    assert told["done"]["notes"] == [{"path": "pipe\\n1", "note": "fifo: left out"}]


def test_set_user_id_bits_are_dropped_and_noted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "program").write_bytes(b"x")
    (source / "program").chmod(0o6755)
    tar, told = archived(source)
    assert (extracted(tar, tmp_path / "out") / "program").stat().st_mode & 0o7777 == 0o755
    assert told["done"]["note_count"] == 1


def test_lost_and_found_is_skipped_at_the_root_of_a_claim_alone(tmp_path: Path) -> None:
    for folder in ("lost+found", "deeper/lost+found"):
        (tmp_path / "source" / folder).mkdir(parents=True)
    whole, _ = archived(tmp_path / "source")
    assert set(content_of(extracted(whole, tmp_path / "out"))) == {b"deeper", b"deeper/lost+found"}
    part, _ = archived(tmp_path / "source", sub_path="deeper")
    assert set(content_of(extracted(part, tmp_path / "part"))) == {b"lost+found"}


def test_a_hard_link_has_the_content_of_its_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "one").write_bytes(b"content" * 1000)
    os.link(source / "one", source / "two")
    tar, told = archived(source)
    assert content_of(extracted(tar, tmp_path / "out")) == content_of(source)
    assert told["done"]["bytes"] == 7000


def test_a_missing_path_is_reported_with_its_reason(tmp_path: Path) -> None:
    _, told = archived(tmp_path, sub_path="nowhere", code=Exit.BAD_CONFIG)
    assert told["failed"]["reason"] == Reason.SOURCE_PATH_MISSING


def test_all_notes_are_counted_and_the_first_ones_are_kept() -> None:
    account = Account()
    for number in range(NOTES_KEPT + 5):
        account.note(f"file {number}", "vanished")
    assert account.note_count == NOTES_KEPT + 5
    assert len(account.notes) == NOTES_KEPT
