"""What lies in a folder of bundles after each step, and after dying at each step."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from quotenode_backup.domain.errors import Reason, RunFailed
from quotenode_backup.runner import committed, destination
from quotenode_backup.runner.destination import Folder
from tests.unit.runner.site import make_places, make_plan

NAME = "quotenode-backup-20260301-023015.tar.gz"
SHA256 = "d95acff6b16c46e5f19fd0db4e3e0ed7c7c2bbd3c5df9d1cba7e0c6e0d9c0a55"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return destination.prepare(make_places(tmp_path).destination, make_plan(), "a1b2c3d4", "pod-1")


def record_of(run: str, content: bytes = b"bundle") -> dict[str, Any]:
    component = {"sizeBytes": 1, "sha256": "0"}
    bundle = {"name": "", "sizeBytes": len(content), "sha256": SHA256}
    return {"runUid": run, "completed": "2026-03-01T02:31:00Z", "noteCount": 0, "database": component, "bundle": bundle}


def commit(folder: Folder, run: str = "run-1") -> str:
    folder.partial().write_bytes(b"bundle")
    name = destination.commit(folder, NAME, record_of(run))
    destination.remove_own_partials(folder)
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


def test_dead_attempts_partial_files_are_cleared_and_nothing_else(folder: Folder) -> None:
    commit(folder)
    (folder.path / "notes.txt").touch()
    before = set(folder.path.iterdir())
    for name in (".partial-a1b2c3d4-pod-0", ".partial-a1b2c3d4-pod-0.dump", ".partial-a1b2c3d4-pod-0.manifest.json"):
        (folder.path / name).write_bytes(b"half")
    destination.clear_away(folder)
    assert set(folder.path.iterdir()) == before


def test_what_another_cluster_writes_into_the_same_folder_is_let_be_for_as_long_as_a_run_can_take(
    folder: Folder,
) -> None:
    theirs = folder.path / ".partial-ffffffff-pod-0"
    theirs.write_bytes(b"half")
    destination.clear_away(folder)
    assert theirs.exists()
    os.utime(theirs, (0, 0))
    destination.clear_away(folder)
    assert not theirs.exists()


def test_a_commit_that_died_before_its_record_is_finished(folder: Folder) -> None:
    folder.partial().write_bytes(b"bundle")
    record = record_of("run-1")
    record["bundle"]["name"] = NAME
    folder.partial(".manifest.json").write_text(json.dumps(record))
    os.link(folder.partial(), folder.path / NAME)
    destination.clear_away(folder)
    assert {path.name for path in folder.path.iterdir()} == {NAME, f"{NAME}.sha256", f"{NAME}.manifest.json"}


def test_a_commit_that_died_before_its_bundle_had_a_name_takes_no_others(folder: Folder) -> None:
    (folder.path / NAME).write_bytes(b"theirs")
    folder.partial().write_bytes(b"bundle")
    record = record_of("run-1")
    record["bundle"]["name"] = NAME
    folder.partial(".manifest.json").write_text(json.dumps(record))
    destination.clear_away(folder)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == {NAME: b"theirs"}


def test_a_disk_that_fails_in_the_commit_leaves_no_bundle(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(destination, "sync_folder", refuse)
    folder.partial().write_bytes(b"bundle")
    with pytest.raises(OSError, match="Input/output"):
        destination.commit(folder, NAME, record_of("run-1"))
    destination.remove_own_partials(folder)
    assert not list(folder.path.iterdir())


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "[" * 100_000, "null", '{"runUid": "x"}', '{"runUid": "x", "bundle": 7}'],
)
def test_what_is_no_commit_record_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.manifest.json").write_text(content)
    assert destination.read_record(tmp_path / "x.manifest.json") is None


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", ""])
def test_a_record_that_points_elsewhere_is_none(tmp_path: Path, name: str) -> None:
    record = record_of("run-1")
    record["bundle"]["name"] = name
    (tmp_path / "x.manifest.json").write_text(json.dumps(record))
    assert destination.read_record(tmp_path / "x.manifest.json") is None


def test_a_run_is_found_again_only_while_its_bundle_is_whole(folder: Folder) -> None:
    folder.partial().write_bytes(b"bundle")
    record = record_of("run-1")
    record["bundle"]["sha256"] = "c59aff1b43afbef4bb8ee3b4c0d6ad10ab0ab2b3b9cd0bd6dd4a3b38e8e2ee1b"
    destination.commit(folder, NAME, record)
    assert committed.find(folder, "run-1") is None


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (28, Reason.NO_SPACE),
        (122, Reason.NO_SPACE),
        (13, Reason.DESTINATION_NOT_WRITABLE),
        (30, Reason.DESTINATION_NOT_WRITABLE),
        (5, Reason.IO_ERROR),
    ],
)
def test_an_error_of_the_disk_is_told_with_the_claim(folder: Folder, number: int, reason: Reason) -> None:
    failure = destination.not_stored(folder, OSError(number, os.strerror(number)))
    assert failure.reason is reason
    assert "quotenode-backups" in failure.message


def test_a_claim_too_small_is_refused_with_numbers(folder: Folder) -> None:
    with pytest.raises(RunFailed, match=r"needs 1\.0 PiB.* are free") as failure:
        destination.require_space(folder, 2**50)
    assert failure.value.reason is Reason.NO_SPACE


@pytest.mark.parametrize("path", ["link", "link/below"])
def test_a_destination_out_of_the_claim_is_refused(tmp_path: Path, path: str) -> None:
    places = make_places(tmp_path)
    (places.destination / "link").symlink_to(tmp_path)
    with pytest.raises(RunFailed) as failure:
        destination.prepare(
            places.destination, make_plan(local={"claimName": "c", "subPath": path}), "a1b2c3d4", "pod-1"
        )
    assert failure.value.reason is Reason.DESTINATION_NOT_WRITABLE
