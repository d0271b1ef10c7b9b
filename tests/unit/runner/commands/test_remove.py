"""A removal beside a backup of the same database, which holds the lock that a removal does not. The rest is tested in the image."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

import pytest

from quotenode_backup.contract.plans import RemovalPlan
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle.manifest import target
from quotenode_backup.runner.commands.remove import remove
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.store.folder import BundleFolder
from tests import bundle_maker
from tests.unit.fakes.site import make_context, make_mounts, make_plan

CONTENT = b"x" * 100


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return make_mounts(tmp_path)


@pytest.fixture
def folder(mounts: Mounts) -> Path:
    """With a bundle of the run that is removed, as yet without a record."""
    folder = mounts.destination / "shop"
    folder.mkdir()
    (folder / "one.tar.gz").write_bytes(CONTENT)
    return folder


def record(run: str, name: str, content: bytes = CONTENT) -> str:
    made = bundle_maker.manifest(target(make_plan(), 1), run, datetime(2026, 3, 1, tzinfo=UTC), b"dump")
    return made.recorded(name, len(content), bundle_maker.sha256(content)).to_json().decode()


def removed(mounts: Mounts, path: str = "shop/", **changes: str) -> str:
    fields = {
        "version": 1,
        "runUid": "mine",
        "namespace": "shop",
        "name": "night",
        "attempt": 1,
        "deadline": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        "local": {"claimName": "bundles", "subPath": ""},
        "path": path,
    }
    return remove(RemovalPlan.model_validate_json(json.dumps(fields | changes)), make_context(mounts)).message


def test_the_bundle_of_a_run_that_was_recreated_goes_by_the_uid_that_it_was_stored_with(
    mounts: Mounts, folder: Path
) -> None:
    (folder / "one.tar.gz.manifest.json").write_text(record("mine", "one.tar.gz"))
    assert "had gone before" in removed(mounts, runUid="anew")
    assert "was removed" in removed(mounts, runUid="anew", originalUid="mine")
    assert not (folder / "one.tar.gz").exists()


def test_a_backup_that_commits_at_the_same_time_does_not_hide_the_bundle(
    mounts: Mounts, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "one.tar.gz.manifest.json").write_text(record("mine", "one.tar.gz"))
    live = folder / ".partial-a1b2c3d4-live.manifest.json"
    live.write_text(record("other", "two.tar.gz", b""))
    size = BundleFolder.size

    def commits_after(self: BundleFolder, name: str) -> int | None:
        found = size(self, name)
        if name == live.name and live.exists():
            live.rename(folder / "two.tar.gz.manifest.json")
        return found

    monkeypatch.setattr(BundleFolder, "size", commits_after)
    assert "was removed" in removed(mounts)
    assert not (folder / "one.tar.gz").exists()


def test_a_bundle_is_removed_even_if_the_next_backup_finishes_its_commit_at_the_same_time(
    mounts: Mounts, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = folder / ".partial-a1b2c3d4-dead.manifest.json"
    dead.write_text(record("mine", "one.tar.gz"))
    rename = BundleFolder.rename

    def finished_before(self: BundleFolder, old: str, new: str) -> None:
        if old == dead.name:
            dead.rename(folder / "one.tar.gz.manifest.json")
        rename(self, old, new)

    monkeypatch.setattr(BundleFolder, "rename", finished_before)
    assert "was removed" in removed(mounts)
    assert not (folder / "one.tar.gz").exists()


def refuse(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    """A file of another user, or a bad sector."""
    file = BundleFolder.file

    def refuse_one(self: BundleFolder, name: str) -> FileIO:
        if name == refused:
            raise PermissionError(13, "Permission denied")
        return file(self, name)

    monkeypatch.setattr(BundleFolder, "file", refuse_one)


@pytest.mark.parametrize("strange", ["a.tar.gz.manifest.json", ".partial-a1b2c3d4-dead.manifest.json"])
def test_a_record_of_another_run_that_cannot_be_read_hides_no_bundle(
    mounts: Mounts, folder: Path, monkeypatch: pytest.MonkeyPatch, strange: str
) -> None:
    (folder / strange).write_text(record("other", "a.tar.gz"))
    (folder / "one.tar.gz.manifest.json").write_text(record("mine", "one.tar.gz"))
    refuse(monkeypatch, strange)
    assert "was removed" in removed(mounts)
    assert [path.name for path in folder.iterdir()] == [strange]


@pytest.mark.parametrize("strange", ["a.tar.gz.manifest.json", ".partial-a1b2c3d4-dead.manifest.json"])
def test_a_bundle_is_not_said_to_be_gone_while_a_record_cannot_be_read(
    mounts: Mounts, folder: Path, monkeypatch: pytest.MonkeyPatch, strange: str
) -> None:
    (folder / strange).write_text(record("mine", "a.tar.gz"))
    refuse(monkeypatch, strange)
    with pytest.raises(RunFailed, match=f"{strange} cannot be read") as failure:
        removed(mounts)
    assert failure.value.reason is Reason.RETENTION_FAILED


@pytest.mark.parametrize("path", ["shop/", "shop/one.tar.gz"])
def test_a_bundle_of_a_later_release_is_left_to_it(mounts: Mounts, folder: Path, path: str) -> None:
    newer = record("mine", "one.tar.gz").replace('"formatVersion": 1', '"formatVersion": 3')
    (folder / "one.tar.gz.manifest.json").write_text(newer)
    with pytest.raises(
        RunFailed, match="is of format 3, which only a later release of this operator can read"
    ) as failure:
        removed(mounts, path)
    assert failure.value.reason is Reason.RETENTION_FAILED
    assert (folder / "one.tar.gz").exists()


@pytest.mark.parametrize("suffix", ["", ".sha256"])
@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir])
def test_only_files_and_links_under_the_bundles_own_names_go(
    mounts: Mounts, folder: Path, put: Callable[[Path], None], suffix: str
) -> None:
    there = folder / f"one.tar.gz{suffix}"
    there.unlink(missing_ok=True)
    put(there)
    (folder / "one.tar.gz.manifest.json").write_text(record("mine", "one.tar.gz"))
    if suffix:
        assert "was removed" in removed(mounts)
    else:
        with pytest.raises(RunFailed, match="not a regular file"):
            removed(mounts)
        assert (folder / "one.tar.gz.manifest.json").exists()
    assert there.exists()
