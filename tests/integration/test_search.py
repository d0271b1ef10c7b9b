"""The command `find` says whether the bundle of a restored run is where it was, reads it, and changes nothing."""

import shutil
import uuid
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason
from tests.integration import older
from tests.integration.older import Older
from tests.integration.pod import Outcome
from tests.integration.site import Site

CLAIM = {"claimName": "quotenode-backups"}


def search(site: Site, bundle: Older, **changes: object) -> Outcome:
    return search_for(site, bundle.path, size_and_checksum(bundle) | changes)


def search_for(site: Site, path: Path, asked: dict[str, object]) -> Outcome:
    """For what was there before: `asked` is its size and checksum."""
    below = str(path.relative_to(site.destination))
    return site.task_with("find", {"local": CLAIM, "path": below, **asked})


def size_and_checksum(bundle: Older) -> dict[str, object]:
    return {"sizeBytes": bundle.path.stat().st_size, "sha256": sha256_of(bundle)}


def sha256_of(bundle: Older) -> str:
    """As the checksum file beside it has it."""
    return bundle.parts[1].read_text().split()[0]


def assert_absent(outcome: Outcome, *mentioned: str) -> None:
    assert (outcome.exit_code, outcome.result.reason) == (0, Reason.COMPLETED), outcome.story
    assert outcome.result.bundle is None
    for thing in (*mentioned, "quotenode-backups"):
        assert thing in outcome.result.message


def test_a_real_bundle_is_found_by_what_its_run_reported(site: Site) -> None:
    uid = str(uuid.uuid4())
    stored = site.backup(site.plan(runUid=uid, local={"subPath": "a/b"})).succeeded()
    before = sorted(site.destination.rglob("*"))
    outcome = site.task("find", local=CLAIM, path=stored.path, sizeBytes=stored.size_bytes, sha256=stored.sha256)
    assert outcome.succeeded() == stored
    assert sorted(site.destination.rglob("*")) == before


def test_another_checksum_is_another_backup(site: Site) -> None:
    (bundle,) = older.bundles(site, 1)
    assert_absent(search(site, bundle, sha256="0" * 64), "is the bundle of another backup")


def test_a_bundle_whose_content_changed_is_not_found(site: Site) -> None:
    (bundle,) = older.bundles(site, 1)
    bundle.rot()
    assert_absent(search(site, bundle), "was damaged since")


@pytest.mark.parametrize("part", [0, 2])
def test_what_is_gone_is_not_found(site: Site, part: int) -> None:
    (bundle,) = older.bundles(site, 1)
    asked = size_and_checksum(bundle)
    bundle.parts[part].rename(site.destination / "elsewhere")
    assert_absent(search_for(site, bundle.path, asked), bundle.path.name)


def test_a_folder_that_is_gone_holds_nothing(site: Site) -> None:
    (bundle,) = older.bundles(site, 1)
    asked = size_and_checksum(bundle)
    shutil.rmtree(site.bundle_folder)
    assert_absent(search_for(site, bundle.path, asked), "has no commit record")


@pytest.mark.parametrize("instead", ["link", "folder"])
@pytest.mark.parametrize("part", [0, 2])
def test_neither_a_link_nor_a_folder_is_taken_for_the_bundle(site: Site, part: int, instead: str) -> None:
    (bundle,) = older.bundles(site, 1)
    asked = size_and_checksum(bundle)
    moved = bundle.parts[part].rename(site.destination / "kept")
    bundle.parts[part].symlink_to(moved) if instead == "link" else bundle.parts[part].mkdir()
    assert_absent(search_for(site, bundle.path, asked))


def test_a_link_on_the_way_is_not_followed(site: Site) -> None:
    outside = older.bundle(site, days_ago=1, on=site.folder / "outside")
    asked = size_and_checksum(outside)
    for name, target in {"out": "../outside", "absolute": str(outside.path.parent)}.items():
        (site.destination / name).symlink_to(target)
        assert_absent(search_for(site, site.destination / name / outside.path.name, asked), "link")


@pytest.mark.parametrize(
    "path", ["../outside/{}", "/outside/{}", "{folder}//{}", "./{folder}/{}", "{folder}/", "", ".."]
)
def test_a_path_that_is_not_inside_the_claim_finds_nothing(site: Site, path: str) -> None:
    bundle = older.bundle(site, days_ago=1)
    hostile = path.format(bundle.path.name, folder=site.bundle_folder_name)
    assert_absent(search(site, bundle, path=hostile), "is not the path of a file inside the claim")


@pytest.mark.parametrize("part", ["bundle", "record", "folder"])
def test_a_bundle_that_may_not_be_read_is_a_failure_that_names_the_user(site: Site, part: str) -> None:
    (bundle,) = older.bundles(site, 1)
    path: Path = {"bundle": bundle.path, "record": bundle.record, "folder": site.bundle_folder}[part]
    shutil.chown(path, 0, 0)
    path.chmod(0o700)
    search(site, bundle).failed(Reason.FILE_UNREADABLE, "10001", bundle.path.name)
