"""A bundle that a restore needs is not removed, until the time that the restore has said."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.store import pins
from quotenode_backup.runner.store.folder import BundleFolder
from quotenode_backup.runner.store.removal import Removal

BUNDLE, UID = "quotenode-backup-20260301-020000.tar.gz", "0b6f2a9e-6a53-4f0e-9d59-0c6f7d1c2e3f"
LATER = datetime.now(UTC) + timedelta(days=7)
BEFORE = datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[BundleFolder]:
    (tmp_path / BUNDLE).write_bytes(b"a bundle")
    (tmp_path / f"{BUNDLE}.manifest.json").write_bytes(b"{}")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield BundleFolder(descriptor)
    os.close(descriptor)


def test_a_bundle_is_pinned_until_the_time_of_the_pin(folder: BundleFolder) -> None:
    pins.pin(folder, BUNDLE, UID, LATER)
    assert folder.is_pinned(BUNDLE)
    pins.pin(folder, BUNDLE, UID, BEFORE)
    assert not folder.is_pinned(BUNDLE)


def test_a_pinned_bundle_that_is_being_removed_gets_its_record_back(folder: BundleFolder) -> None:
    removal = Removal(folder)
    removal.mark_for_removal(BUNDLE)
    folder.write(pins.pin_name(BUNDLE, UID), LATER.isoformat().encode())
    removal.finish(BUNDLE)
    assert folder.has(f"{BUNDLE}.manifest.json")
    assert folder.has(BUNDLE)


def test_a_bundle_that_is_gone_is_not_pinned(folder: BundleFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "SETTLES_SECONDS", 0.0)
    Removal(folder).remove(BUNDLE)
    with pytest.raises(RunFailed, match="is not on the claim") as raised:
        pins.pin(folder, BUNDLE, UID, LATER)
    assert raised.value.reason is Reason.SOURCE_MISSING
    assert not folder.names()


def test_a_pin_that_does_not_say_until_when_holds(folder: BundleFolder) -> None:
    for content in (b"", b"soon", b"\xff", b"2020-01-01T00:00:00"):
        folder.write(pins.pin_name(BUNDLE, UID), content)
        assert folder.is_pinned(BUNDLE)
        assert pins.remove_expired(folder, datetime.now(UTC)) == []


def test_only_expired_pins_of_restores_go(folder: BundleFolder) -> None:
    folder.write(f"{BUNDLE}.keep", BEFORE.isoformat().encode())
    pins.pin(folder, BUNDLE, "other", LATER)
    pins.pin(folder, BUNDLE, UID, BEFORE)
    assert pins.remove_expired(folder, datetime.now(UTC)) == [pins.pin_name(BUNDLE, UID)]
    pins.unpin(folder, BUNDLE, "other")
    assert folder.names() == {BUNDLE, f"{BUNDLE}.manifest.json", f"{BUNDLE}.keep"}


def test_a_restore_of_another_bundle_pins_nothing_of_this_one(folder: BundleFolder) -> None:
    folder.write(f"other-{BUNDLE}.keep-{UID}", LATER.isoformat().encode())
    assert not folder.is_pinned(BUNDLE)
