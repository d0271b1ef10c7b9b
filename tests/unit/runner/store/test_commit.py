"""What lies in a folder of bundles after each step, and after dying at each step, whatever else lies there."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from quotenode_backup.contract.manifest import CommitRecord
from quotenode_backup.runner.bundle.manifest import target
from quotenode_backup.runner.store.commit import clear_away, commit, remove_own_partials
from quotenode_backup.runner.store.destination import Destination
from quotenode_backup.runner.store.folder import BundleFolder
from tests import bundle_maker
from tests.strange_entries import STRANGE_ENTRIES
from tests.unit.fakes.site import DUMP, a_destination, folder_of, make_plan

NAME = "quotenode-backup-20260301-023015.tar.gz"
SECOND = "quotenode-backup-20260301-023015-2.tar.gz"
SHA256 = "d95acff6b16c46e5f19fd0db4e3e0ed7c7c2bbd3c5df9d1cba7e0c6e0d9c0a55"


@pytest.fixture
def destination(tmp_path: Path) -> Iterator[Destination]:
    with a_destination(tmp_path, make_plan()) as destination:
        yield destination


@pytest.fixture
def folder(destination: Destination) -> Path:
    return folder_of(destination)


def record_of(run: str, content: bytes = b"bundle") -> CommitRecord:
    made = bundle_maker.manifest(target(make_plan(), 1), run, datetime(2026, 3, 1, 2, 31, tzinfo=UTC), DUMP)
    return made.recorded(NAME, len(content), SHA256)


def committed(destination: Destination, run: str = "run-1") -> str:
    """The name that a bundle got."""
    partial(destination).write_bytes(b"bundle")
    name = commit(destination, record_of(run)).bundle.name
    remove_own_partials(destination)
    return name


def partial(destination: Destination, suffix: str = "") -> Path:
    return folder_of(destination) / destination.partial(suffix)


def test_a_commit_leaves_bundle_checksum_and_record(destination: Destination, folder: Path) -> None:
    assert committed(destination) == NAME
    assert {path.name for path in folder.iterdir()} == {NAME, f"{NAME}.sha256", f"{NAME}.manifest.json"}
    assert (folder / f"{NAME}.sha256").read_text() == f"{SHA256}  {NAME}\n"
    assert {path.stat().st_mode & 0o007 for path in folder.iterdir() if path.name != NAME} == {0}


def test_a_name_that_is_taken_gets_a_number(destination: Destination) -> None:
    assert [committed(destination, run) for run in ("1", "2", "3")] == [
        NAME,
        NAME.replace(".tar", "-2.tar"),
        NAME.replace(".tar", "-3.tar"),
    ]


def test_the_name_of_a_bundle_whose_removal_died_is_not_given_again(destination: Destination, folder: Path) -> None:
    (folder / f".pruned-{NAME}.manifest.json").write_text("{}")
    assert committed(destination) == NAME.replace(".tar", "-2.tar")


def test_a_commit_works_without_hard_links(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **_where: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert [committed(destination, run) for run in ("1", "2")] == [NAME, NAME.replace(".tar", "-2.tar")]


def test_a_link_that_an_nfs_server_has_made_and_then_refuses_as_existing_is_ours(
    destination: Destination, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first request was lost, and the client repeated it."""
    link = os.link

    def link_twice(source: str, target: str, **where: Any) -> None:
        link(source, target, **where)
        if target == NAME:
            link(source, target, **where)

    monkeypatch.setattr(os, "link", link_twice)
    assert committed(destination) == NAME
    assert {path.name for path in folder.iterdir()} == {NAME, f"{NAME}.sha256", f"{NAME}.manifest.json"}


@pytest.mark.parametrize("is_link", [False, True])
def test_a_name_that_another_takes_at_the_last_moment_is_not_ours(
    destination: Destination, folder: Path, monkeypatch: pytest.MonkeyPatch, is_link: bool
) -> None:
    """Not even when it is a link to our own partial file."""
    link = os.link

    def too_late(source: str, target: str, **where: Any) -> None:
        if target == NAME:
            (folder / NAME).symlink_to(source) if is_link else (folder / NAME).write_bytes(b"theirs")
        link(source, target, **where)

    monkeypatch.setattr(os, "link", too_late)
    assert committed(destination) == SECOND
    assert (folder / NAME).is_symlink() == is_link


def test_dead_attempts_partial_files_are_cleared_and_nothing_else(destination: Destination, folder: Path) -> None:
    committed(destination)
    (folder / "notes.txt").touch()
    before = set(folder.iterdir())
    for name in (".partial-a1b2c3d4-pod-0", ".partial-a1b2c3d4-pod-0.dump", ".partial-a1b2c3d4-pod-0.manifest.json"):
        (folder / name).write_bytes(b"half")
    clear_away(destination)
    assert set(folder.iterdir()) == before


def test_partial_files_of_another_cluster_stay_for_as_long_as_a_run_can_take(
    destination: Destination,
    folder: Path,
) -> None:
    theirs = folder / ".partial-ffffffff-pod-0"
    theirs.write_bytes(b"half")
    clear_away(destination)
    assert theirs.exists()
    os.utime(theirs, (0, 0))
    clear_away(destination)
    assert not theirs.exists()


@pytest.mark.parametrize(("has_its_name", "version"), [(True, b"1"), (False, b"1"), (False, b"2")])
def test_an_old_partial_record_of_another_server_stays_if_that_server_can_finish_its_commit(
    destination: Destination, folder: Path, has_its_name: bool, version: bytes
) -> None:
    theirs, content = folder / ".partial-ffffffff-pod-0.manifest.json", record_of("run-1").to_json()
    theirs.write_bytes(content.replace(b'"formatVersion": 1', b'"formatVersion": ' + version))
    os.utime(theirs, (0, 0))
    if has_its_name:
        (folder / NAME).write_bytes(b"bundle")
    clear_away(destination)
    assert theirs.exists() == (has_its_name or version == b"3")
    assert not (folder / f"{NAME}.manifest.json").exists()


def test_a_commit_that_died_before_its_record_is_finished(destination: Destination, folder: Path) -> None:
    partial(destination).write_bytes(b"bundle")
    partial(destination, ".manifest.json").write_bytes(record_of("run-1").to_json())
    os.link(partial(destination), folder_of(destination) / NAME)
    clear_away(destination)
    assert {path.name for path in folder.iterdir()} == {NAME, f"{NAME}.sha256", f"{NAME}.manifest.json"}


def test_a_commit_that_died_before_its_bundle_had_a_name_takes_no_others(
    destination: Destination, folder: Path
) -> None:
    (folder / NAME).write_bytes(b"theirs")
    partial(destination).write_bytes(b"bundle")
    partial(destination, ".manifest.json").write_bytes(record_of("run-1").to_json())
    clear_away(destination)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {NAME: b"theirs"}


def test_a_disk_that_fails_in_the_commit_leaves_no_bundle(
    destination: Destination, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: BundleFolder) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(BundleFolder, "sync", refuse)
    partial(destination).write_bytes(b"bundle")
    with pytest.raises(OSError, match="Input/output"):
        commit(destination, record_of("run-1"))
    remove_own_partials(destination)
    assert not list(folder.iterdir())


def test_a_link_that_a_server_has_made_and_then_reports_as_failed_leaves_no_bundle(
    destination: Destination, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def fail_afterwards(source: str, target: str, **where: Any) -> None:
        link(source, target, **where)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "link", fail_afterwards)
    with pytest.raises(OSError, match="Input/output"):
        committed(destination)
    remove_own_partials(destination)
    assert not list(folder.iterdir())


def a_file(path: Path) -> None:
    path.write_text("mine")


@pytest.mark.parametrize("suffix", [".sha256", ".manifest.json"])
def test_a_commit_fails_beside_a_file_that_another_puts_there_at_the_last_moment_and_leaves_it(
    destination: Destination, folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    link, theirs = os.link, folder / f"{NAME}{suffix}"

    def too_late(source: str, target: str, **where: Any) -> None:
        link(source, target, **where)
        a_file(theirs)

    monkeypatch.setattr(os, "link", too_late)
    with pytest.raises(FileExistsError, match="something else of this name"):
        committed(destination)
    remove_own_partials(destination)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {theirs.name: "mine"}


@pytest.mark.parametrize("suffix", ["", ".sha256", ".manifest.json"])
@pytest.mark.parametrize("put", [a_file, *STRANGE_ENTRIES])
def test_a_name_is_taken_when_anything_stands_under_one_of_its_names(
    destination: Destination, folder: Path, put: Callable[[Path], None], suffix: str
) -> None:
    there = folder / f"{NAME}{suffix}"
    put(there)
    before = there.lstat()
    assert committed(destination) == SECOND
    assert os.path.samestat(there.lstat(), before)
    assert there.lstat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("suffix", ["", ".dump", ".manifest.json"])
@pytest.mark.parametrize("put", STRANGE_ENTRIES)
def test_an_entry_that_no_attempt_left_stays_and_blocks_no_other_removal(
    destination: Destination, folder: Path, put: Callable[[Path], None], suffix: str
) -> None:
    strange = folder / f".partial-a1b2c3d4-pod-0{suffix}"
    put(strange)
    (folder / ".partial-a1b2c3d4-pod-9").write_bytes(b"half")
    os.utime(folder / ".partial-a1b2c3d4-pod-9", (0, 0))
    clear_away(destination)
    assert [path.name for path in folder.iterdir()] == [strange.name]


def test_a_partial_file_that_cannot_be_removed_blocks_no_other_removal(
    destination: Destination, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = folder / ".partial-a1b2c3d4-pod-0"
    unlink = BundleFolder.unlink

    def refuse_one(self: BundleFolder, name: str) -> None:
        if name == kept.name:
            raise PermissionError(1, "Operation not permitted")
        unlink(self, name)

    for number in range(3):
        (folder / f".partial-a1b2c3d4-pod-{number}").write_bytes(b"half")
    monkeypatch.setattr(BundleFolder, "unlink", refuse_one)
    clear_away(destination)
    remove_own_partials(destination)
    assert list(folder.iterdir()) == [kept]


@pytest.mark.parametrize("has_its_name", [True, False])
def test_a_partial_record_that_cannot_be_read_stays_if_its_bundle_may_have_its_final_name(
    destination: Destination, folder: Path, has_its_name: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = partial(destination, ".manifest.json")
    file = BundleFolder.file

    def refuse_one(self: BundleFolder, name: str) -> FileIO:
        if name == record.name:
            raise OSError(5, "Input/output error")
        return file(self, name)

    partial(destination).write_bytes(b"bundle")
    record.write_bytes(record_of("run-1").to_json())
    if has_its_name:
        os.link(partial(destination), folder / NAME)
    with monkeypatch.context() as patched:
        patched.setattr(BundleFolder, "file", refuse_one)
        clear_away(destination)
    assert record.exists() == has_its_name
    clear_away(destination)
    assert (folder / f"{NAME}.manifest.json").exists() == has_its_name


def test_the_partial_record_of_a_later_release_is_left_to_it(destination: Destination, folder: Path) -> None:
    partial(destination).write_bytes(b"bundle")
    newer = record_of("run-1").to_json().replace(b'"formatVersion": 1', b'"formatVersion": 3')
    partial(destination, ".manifest.json").write_bytes(newer)
    before = set(folder.iterdir())
    clear_away(destination)
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("content", [b"", b"d95acff6b16c46e5f19f", None])
def test_a_checksum_file_that_an_attempt_died_in_is_written_again(
    destination: Destination, folder: Path, content: bytes | None
) -> None:
    line = f"{SHA256}  {NAME}\n".encode()
    dead_commit(destination)
    (folder / f"{NAME}.sha256").write_bytes(line if content is None else content)
    clear_away(destination)
    assert (folder / f"{NAME}.sha256").read_bytes() == line
    assert (folder / f"{NAME}.manifest.json").exists()


@pytest.mark.parametrize("put", [a_file, *STRANGE_ENTRIES])
def test_a_dead_commit_is_not_finished_over_something_else_and_blocks_no_later_commit(
    destination: Destination, folder: Path, put: Callable[[Path], None]
) -> None:
    dead_commit(destination)
    checksum = folder / f"{NAME}.sha256"
    put(checksum)
    before = checksum.lstat()
    clear_away(destination)
    assert os.path.samestat(checksum.lstat(), before)
    assert not (folder / f"{NAME}.manifest.json").exists()
    assert committed(destination, "run-2") == SECOND


def dead_commit(destination: Destination) -> None:
    """Of an attempt that died when its bundle had just got its name."""
    partial(destination).write_bytes(b"bundle")
    partial(destination, ".manifest.json").write_bytes(record_of("run-1").to_json())
    os.link(partial(destination), folder_of(destination) / NAME)
