"""What lies in a folder of bundles after each step, and after dying at each step, whatever else lies there."""

import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quotenode_backup.contract.manifest import CommitRecord
from quotenode_backup.runner.bundle.manifest import target
from quotenode_backup.runner.store import commit as commits
from quotenode_backup.runner.store import destination
from quotenode_backup.runner.store.destination import Folder
from tests import bundle_maker
from tests.unit.fakes.site import DUMP, make_places, make_plan

NAME = "quotenode-backup-20260301-023015.tar.gz"
SECOND = "quotenode-backup-20260301-023015-2.tar.gz"
SHA256 = "d95acff6b16c46e5f19fd0db4e3e0ed7c7c2bbd3c5df9d1cba7e0c6e0d9c0a55"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return destination.prepare(make_places(tmp_path).destination, make_plan(), "a1b2c3d4", "pod-1")


def record_of(run: str, content: bytes = b"bundle") -> CommitRecord:
    made = bundle_maker.manifest(target(make_plan(), 1), run, datetime(2026, 3, 1, 2, 31, tzinfo=UTC), DUMP)
    return made.recorded(NAME, len(content), SHA256)


def commit(folder: Folder, run: str = "run-1") -> str:
    folder.partial().write_bytes(b"bundle")
    name = commits.commit(folder, record_of(run)).bundle.name
    commits.remove_own_partials(folder)
    return name


def test_a_commit_leaves_bundle_checksum_and_record(folder: Folder) -> None:
    assert commit(folder) == NAME
    assert {path.name for path in folder.path.iterdir()} == {NAME, f"{NAME}.sha256", f"{NAME}.manifest.json"}
    assert (folder.path / f"{NAME}.sha256").read_text() == f"{SHA256}  {NAME}\n"
    assert {path.stat().st_mode & 0o007 for path in folder.path.iterdir() if path.name != NAME} == {0}


def test_a_name_that_is_taken_gets_a_number(folder: Folder) -> None:
    assert [commit(folder, run) for run in ("1", "2", "3")] == [
        NAME,
        NAME.replace(".tar", "-2.tar"),
        NAME.replace(".tar", "-3.tar"),
    ]


def test_the_name_of_a_bundle_whose_removal_died_is_not_given_again(folder: Folder) -> None:
    (folder.path / f".pruned-{NAME}.manifest.json").write_text("{}")
    assert commit(folder) == NAME.replace(".tar", "-2.tar")


def test_a_folder_without_hard_links_is_good_too(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert [commit(folder, run) for run in ("1", "2")] == [NAME, NAME.replace(".tar", "-2.tar")]


def test_a_link_that_an_nfs_server_made_and_then_refuses_as_there_already_is_ours(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first request was lost, and the client repeated it."""
    link = os.link

    def link_twice(source: Path, target: Path) -> None:
        link(source, target)
        if target.name == NAME:
            link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    assert commit(folder) == NAME
    assert {path.name for path in folder.path.iterdir()} == {NAME, f"{NAME}.sha256", f"{NAME}.manifest.json"}


@pytest.mark.parametrize("is_link", [False, True])
def test_a_name_that_another_takes_at_the_last_moment_is_not_ours(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, is_link: bool
) -> None:
    """Not even when it is a link to our own partial file."""
    link = os.link

    def too_late(source: Path, target: Path) -> None:
        if target.name == NAME:
            target.symlink_to(source) if is_link else target.write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr(os, "link", too_late)
    assert commit(folder) == SECOND
    assert (folder.path / NAME).is_symlink() == is_link


def test_dead_attempts_partial_files_are_cleared_and_nothing_else(folder: Folder) -> None:
    commit(folder)
    (folder.path / "notes.txt").touch()
    before = set(folder.path.iterdir())
    for name in (".partial-a1b2c3d4-pod-0", ".partial-a1b2c3d4-pod-0.dump", ".partial-a1b2c3d4-pod-0.manifest.json"):
        (folder.path / name).write_bytes(b"half")
    commits.clear_away(folder)
    assert set(folder.path.iterdir()) == before


def test_what_another_cluster_writes_into_the_same_folder_is_let_be_for_as_long_as_a_run_can_take(
    folder: Folder,
) -> None:
    theirs = folder.path / ".partial-ffffffff-pod-0"
    theirs.write_bytes(b"half")
    commits.clear_away(folder)
    assert theirs.exists()
    os.utime(theirs, (0, 0))
    commits.clear_away(folder)
    assert not theirs.exists()


def test_a_commit_that_died_before_its_record_is_finished(folder: Folder) -> None:
    folder.partial().write_bytes(b"bundle")
    folder.partial(".manifest.json").write_bytes(record_of("run-1").to_json())
    os.link(folder.partial(), folder.path / NAME)
    commits.clear_away(folder)
    assert {path.name for path in folder.path.iterdir()} == {NAME, f"{NAME}.sha256", f"{NAME}.manifest.json"}


def test_a_commit_that_died_before_its_bundle_had_a_name_takes_no_others(folder: Folder) -> None:
    (folder.path / NAME).write_bytes(b"theirs")
    folder.partial().write_bytes(b"bundle")
    folder.partial(".manifest.json").write_bytes(record_of("run-1").to_json())
    commits.clear_away(folder)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == {NAME: b"theirs"}


def test_a_disk_that_fails_in_the_commit_leaves_no_bundle(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(commits, "sync_folder", refuse)
    folder.partial().write_bytes(b"bundle")
    with pytest.raises(OSError, match="Input/output"):
        commits.commit(folder, record_of("run-1"))
    commits.remove_own_partials(folder)
    assert not list(folder.path.iterdir())


def a_file(path: Path) -> None:
    path.write_text("mine")


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "mine").touch()


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to("/nowhere")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_link_to_a_folder(path: Path) -> None:
    path.symlink_to("/etc")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    """By a relative name, since that of a socket may have no more than 107 bytes."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)


STRANGE: list[Callable[[Path], None]] = [
    a_folder,
    a_link_to_nowhere,
    a_link_to_itself,
    a_link_to_a_folder,
    a_pipe,
    a_socket,
]


@pytest.mark.parametrize("suffix", ["", ".sha256", ".manifest.json"])
@pytest.mark.parametrize("put", [a_file, *STRANGE])
def test_a_name_is_taken_when_anything_stands_under_one_of_its_names(
    folder: Folder, put: Callable[[Path], None], suffix: str
) -> None:
    there = folder.path / f"{NAME}{suffix}"
    put(there)
    before = there.lstat()
    assert commit(folder) == SECOND
    assert os.path.samestat(there.lstat(), before)
    assert there.lstat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("suffix", ["", ".dump", ".manifest.json"])
@pytest.mark.parametrize("put", STRANGE)
def test_what_no_attempt_left_stays_and_keeps_nothing_else(
    folder: Folder, put: Callable[[Path], None], suffix: str
) -> None:
    strange = folder.path / f".partial-a1b2c3d4-pod-0{suffix}"
    put(strange)
    (folder.path / ".partial-a1b2c3d4-pod-9").write_bytes(b"half")
    os.utime(folder.path / ".partial-a1b2c3d4-pod-9", (0, 0))
    commits.clear_away(folder)
    assert [path.name for path in folder.path.iterdir()] == [strange.name]


def test_a_partial_file_that_cannot_be_removed_keeps_nothing_else(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = folder.path / ".partial-a1b2c3d4-pod-0"
    unlink = Path.unlink

    def refuse_one(self: Path, missing_ok: bool = False) -> None:
        if self == kept:
            raise PermissionError(1, "Operation not permitted")
        unlink(self, missing_ok)

    for number in range(3):
        (folder.path / f".partial-a1b2c3d4-pod-{number}").write_bytes(b"half")
    monkeypatch.setattr(Path, "unlink", refuse_one)
    commits.clear_away(folder)
    commits.remove_own_partials(folder)
    assert list(folder.path.iterdir()) == [kept]


@pytest.mark.parametrize("has_its_name", [True, False])
def test_a_partial_record_that_cannot_be_read_stays_if_its_bundle_may_have_its_name(
    folder: Folder, has_its_name: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = folder.partial(".manifest.json")
    read_bytes = Path.read_bytes

    def refuse_one(self: Path) -> bytes:
        if self == record:
            raise OSError(5, "Input/output error")
        return read_bytes(self)

    folder.partial().write_bytes(b"bundle")
    record.write_bytes(record_of("run-1").to_json())
    if has_its_name:
        os.link(folder.partial(), folder.path / NAME)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse_one)
        commits.clear_away(folder)
    assert record.exists() == has_its_name
    commits.clear_away(folder)
    assert (folder.path / f"{NAME}.manifest.json").exists() == has_its_name


def test_the_partial_record_of_a_later_release_is_left_to_it(folder: Folder) -> None:
    folder.partial().write_bytes(b"bundle")
    newer = record_of("run-1").to_json().replace(b'"formatVersion": 1', b'"formatVersion": 2')
    folder.partial(".manifest.json").write_bytes(newer)
    before = set(folder.path.iterdir())
    commits.clear_away(folder)
    assert set(folder.path.iterdir()) == before


@pytest.mark.parametrize("content", [b"", b"d95acff6b16c46e5f19f", None])
def test_a_checksum_file_that_an_attempt_died_in_is_written_again(folder: Folder, content: bytes | None) -> None:
    line = f"{SHA256}  {NAME}\n".encode()
    dead_commit(folder)
    (folder.path / f"{NAME}.sha256").write_bytes(line if content is None else content)
    commits.clear_away(folder)
    assert (folder.path / f"{NAME}.sha256").read_bytes() == line
    assert (folder.path / f"{NAME}.manifest.json").exists()


@pytest.mark.parametrize("put", [a_file, *STRANGE])
def test_a_dead_commit_is_not_finished_over_something_else_and_keeps_nothing_else(
    folder: Folder, put: Callable[[Path], None]
) -> None:
    dead_commit(folder)
    checksum = folder.path / f"{NAME}.sha256"
    put(checksum)
    before = checksum.lstat()
    commits.clear_away(folder)
    assert os.path.samestat(checksum.lstat(), before)
    assert not (folder.path / f"{NAME}.manifest.json").exists()
    assert commit(folder, "run-2") == SECOND


def dead_commit(folder: Folder) -> None:
    """Of an attempt that died when its bundle had just got its name."""
    folder.partial().write_bytes(b"bundle")
    folder.partial(".manifest.json").write_bytes(record_of("run-1").to_json())
    os.link(folder.partial(), folder.path / NAME)
