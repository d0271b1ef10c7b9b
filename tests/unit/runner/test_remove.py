"""A removal beside a backup of the same database, which holds the lock that a removal does not. The rest is tested in the image."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quotenode_backup.contract import RemovalPlan
from quotenode_backup.runner.places import Places
from quotenode_backup.runner.remove import remove
from quotenode_backup.runner.shelf import Shelf
from quotenode_backup.runner.wording import Redactor
from tests.unit.runner.site import make_places

CONTENT = b"x" * 100


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return make_places(tmp_path)


@pytest.fixture
def folder(places: Places) -> Path:
    """With a bundle of the run that is removed, as yet without a record."""
    folder = places.destination / "shop"
    folder.mkdir()
    (folder / "one.tar.gz").write_bytes(CONTENT)
    return folder


def record(run: str, name: str, content: bytes = CONTENT) -> str:
    bundle = {"name": name, "sizeBytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return json.dumps({"runUid": run, "namespace": "shop", "bundle": bundle})


def removed(places: Places) -> str:
    fields = {
        "version": 1,
        "runUid": "mine",
        "namespace": "shop",
        "name": "night",
        "attempt": 1,
        "deadline": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        "local": {"claimName": "bundles", "subPath": ""},
        "path": "shop/",
    }
    return remove(RemovalPlan.model_validate_json(json.dumps(fields)), places, Redactor()).message


def test_a_backup_that_commits_just_now_does_not_hide_the_bundle(
    places: Places, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "one.tar.gz.manifest.json").write_text(record("mine", "one.tar.gz"))
    live = folder / ".partial-a1b2c3d4-live.manifest.json"
    live.write_text(record("other", "two.tar.gz", b""))
    size = Shelf.size

    def commits_after(self: Shelf, name: str) -> int | None:
        found = size(self, name)
        if name == live.name and live.exists():
            live.rename(folder / "two.tar.gz.manifest.json")
        return found

    monkeypatch.setattr(Shelf, "size", commits_after)
    assert "was removed" in removed(places)
    assert not (folder / "one.tar.gz").exists()


def test_a_commit_that_the_next_backup_finishes_just_now_is_removed_all_the_same(
    places: Places, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = folder / ".partial-a1b2c3d4-dead.manifest.json"
    dead.write_text(record("mine", "one.tar.gz"))
    rename = Shelf._rename

    def finished_before(self: Shelf, old: str, new: str) -> None:
        if old == dead.name:
            dead.rename(folder / "one.tar.gz.manifest.json")
        rename(self, old, new)

    monkeypatch.setattr(Shelf, "_rename", finished_before)
    assert "was removed" in removed(places)
    assert not (folder / "one.tar.gz").exists()
