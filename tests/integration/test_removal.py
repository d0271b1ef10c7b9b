"""The command `remove` takes away the bundle of one run, crash-safe, and nothing that is not that."""

import itertools
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from quotenode_backup.contract import results
from quotenode_backup.domain.reasons import Reason
from tests.integration import older
from tests.integration.older import Older, standing
from tests.integration.pod import Outcome
from tests.integration.site import Site

CLAIM = {"claimName": "quotenode-backups", "subPath": ""}


def removal(site: Site, bundle: Older, tracer: Sequence[str] = (), **changes: object) -> Outcome:
    path = str(bundle.path.relative_to(site.destination))
    plan = {"runUid": bundle.run_uid, "local": CLAIM, "path": path, **changes}
    return site.task_with("remove", plan, tracer=tracer)


def assert_done(outcome: Outcome, *mentioned: str) -> None:
    assert (outcome.exit_code, outcome.result.outcome) == (0, results.Outcome.SUCCEEDED), outcome.story
    for thing in mentioned:
        assert thing in outcome.result.message


def assert_refused(site: Site, outcome: Outcome, reason: Reason, *mentioned: str) -> None:
    outcome.failed(reason, *mentioned)
    assert not list(site.destination.rglob(".pruned-*"))


def test_a_bundle_goes_with_all_that_belongs_to_it_and_no_other(site: Site) -> None:
    first, second = older.bundles(site, 2)
    assert_done(removal(site, first), first.path.name, "was removed", "quotenode-backups")
    assert standing([first, second]) == [False, True]
    assert not list(site.bundle_folder.glob(".*"))
    assert_done(removal(site, first), "had gone before")
    assert standing([first, second]) == [False, True]


def test_a_real_bundle_goes_by_the_path_that_its_run_reported(site: Site) -> None:
    uid = str(uuid.uuid4())
    stored = site.backup(site.plan(runUid=uid, local={"subPath": "a/b"})).succeeded()
    assert stored.user_id == 10001
    claim = {"claimName": "quotenode-backups", "subPath": "a/b"}
    assert_done(site.task("remove", runUid=uid, local=claim, path=stored.path))
    assert not site.stored()


def test_a_folder_that_is_not_there_any_more_is_a_bundle_that_is_gone(site: Site) -> None:
    (bundle,) = older.bundles(site, 1)
    shutil.rmtree(site.bundle_folder)
    assert_done(removal(site, bundle), "had gone before")


def test_a_bundle_that_nobody_could_report_is_looked_for_by_its_run(site: Site) -> None:
    first, second = older.bundles(site, 2)
    folder = f"{site.bundle_folder.relative_to(site.destination)}/"
    assert_done(removal(site, first, path=folder), "was removed")
    assert standing([first, second]) == [False, True]
    assert_done(removal(site, first, path=folder), "had gone before")
    second.pin()
    assert_refused(site, removal(site, second, path=folder), Reason.RETENTION_FAILED, f"{second.path.name}.keep")


def test_a_pinned_bundle_is_refused_with_the_name_of_the_pin(site: Site) -> None:
    (bundle,) = older.bundles(site, 1)
    bundle.pin()
    assert_refused(site, removal(site, bundle), Reason.RETENTION_FAILED, f"{bundle.path.name}.keep")
    assert bundle.is_whole


def test_the_bundle_of_another_run_is_refused(site: Site) -> None:
    mine, theirs = older.bundles(site, 2)
    path = str(theirs.path.relative_to(site.destination))
    assert_refused(site, removal(site, mine, path=path), Reason.RETENTION_FAILED, theirs.path.name)
    assert all(standing([mine, theirs]))


@pytest.mark.parametrize("record", ["", "[]", "gone"])
def test_a_bundle_without_a_record_is_refused(site: Site, record: str) -> None:
    (bundle,) = older.bundles(site, 1)
    bundle.record.unlink() if record == "gone" else bundle.record.write_text(record)
    assert_refused(site, removal(site, bundle), Reason.RETENTION_FAILED, "commit record")
    assert bundle.path.is_file()


@pytest.mark.parametrize(
    "path",
    ["../outside/{}", "{folder}/../../outside/{}", "/outside/{}", "{folder}//{}", "./{folder}/{}", "", ".."],
)
def test_a_path_that_is_not_inside_the_claim_is_refused(site: Site, path: str) -> None:
    bundle = older.bundle(site, days_ago=1, on=site.folder / "outside")
    inside = older.bundle(site, days_ago=1)
    hostile = path.format(bundle.path.name, folder=site.bundle_folder_name)
    assert_refused(site, removal(site, inside, runUid=bundle.run_uid, path=hostile), Reason.PLAN_INVALID)
    assert bundle.is_whole
    assert inside.is_whole


def test_a_link_on_the_way_is_not_followed(site: Site) -> None:
    outside = older.bundle(site, days_ago=1, on=site.folder / "outside")
    inside = older.bundle(site, days_ago=2)
    ways = {"out": "../outside", "absolute": str(outside.path.parent), "round": site.bundle_folder_name}
    for name, target in ways.items():
        (site.destination / name).symlink_to(target)
    for name, bundle in (("out", outside), ("absolute", outside), ("round", inside)):
        outcome = removal(site, inside, runUid=bundle.run_uid, path=f"{name}/{bundle.path.name}")
        assert_refused(site, outcome, Reason.PLAN_INVALID, "link")
    assert outside.is_whole
    assert inside.is_whole


def test_links_under_the_bundles_own_names_are_removed_and_not_followed(site: Site) -> None:
    (bundle,) = older.bundles(site, 1)
    victim = site.destination / "victim"
    victim.write_bytes(b"mine")
    for part in bundle.parts[:2]:
        part.unlink()
        part.symlink_to(victim)
    assert_done(removal(site, bundle))
    assert victim.read_bytes() == b"mine"
    assert not list(site.bundle_folder.iterdir())


def test_a_record_that_is_a_link_does_not_count(site: Site) -> None:
    first, second = older.bundles(site, 2)
    kept = site.destination / "kept.json"
    first.record.rename(kept)
    first.record.symlink_to(kept)
    assert_refused(site, removal(site, first), Reason.RETENTION_FAILED)
    assert first.path.is_file()
    assert second.is_whole


def test_a_folder_that_may_not_be_changed_is_told_with_the_user(site: Site) -> None:
    (bundle,) = older.bundles(site, 1)
    shutil.chown(site.bundle_folder, 0, 0)
    site.bundle_folder.chmod(0o755)
    assert_refused(site, removal(site, bundle), Reason.DESTINATION_NOT_WRITABLE, "10001", "quotenode-backups")
    assert bundle.is_whole


def begun(bundle: Older) -> Path:
    return bundle.path.with_name(f".pruned-{bundle.record.name}")


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_removal_that_died_is_finished(site: Site, steps: int) -> None:
    first, second = older.bundles(site, 2)
    first.record.rename(begun(first))
    for part in first.parts[: steps - 1]:
        part.unlink()
    assert_done(removal(site, first))
    assert standing([first, second]) == [False, True]
    assert not list(site.bundle_folder.glob(".*"))


def test_a_pin_beside_a_removal_that_died_brings_the_bundle_back(site: Site) -> None:
    (bundle,) = older.bundles(site, 1)
    bundle.record.rename(begun(bundle))
    bundle.pin()
    assert_refused(site, removal(site, bundle), Reason.RETENTION_FAILED, ".keep")
    assert bundle.is_whole


def test_a_newer_bundle_under_the_name_of_one_that_was_removed_stays(site: Site) -> None:
    dead, newer = older.bundles(site, 2)
    dead.record.rename(begun(newer))
    content = begun(newer).read_text().replace(dead.path.name, newer.path.name)
    begun(newer).write_text(content)
    path = str(newer.path.relative_to(site.destination))
    assert_done(removal(site, dead, path=path))
    assert newer.is_whole
    assert not begun(newer).exists()


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_a_bundle_whose_commit_died_goes_and_does_not_come_back(site: Site, has_hard_links: bool) -> None:
    """Its run never reported it: the pod was killed between the bundle's name and its record."""
    (bundle,) = older.bundles(site, 1)
    partial = bundle.path.with_name(".partial-a1b2c3d4-dead")
    bundle.record.rename(f"{partial}.manifest.json")
    if has_hard_links:
        partial.hardlink_to(bundle.path)
    folder = f"{site.bundle_folder.relative_to(site.destination)}/"
    assert_done(removal(site, bundle, path=folder), "was removed")
    assert bundle.is_gone
    assert not list(site.bundle_folder.glob(".*"))


def test_another_runs_bundle_under_the_name_that_a_dead_commit_wanted_stays(site: Site) -> None:
    """Two runs began in the same second, and one died before its bundle had a name."""
    dead, other = older.bundles(site, 2)
    partial = other.path.with_name(".partial-a1b2c3d4-dead")
    record = dead.record.read_text().replace(dead.path.name, other.path.name)
    Path(f"{partial}.manifest.json").write_text(record)
    dead.path.rename(partial)
    dead.record.unlink()
    other.record.unlink()
    folder = f"{site.bundle_folder.relative_to(site.destination)}/"
    assert_done(removal(site, dead, path=folder), "had gone before")
    assert other.path.exists()


@pytest.mark.parametrize("call", ["fsync", "rename,renameat,renameat2", "unlinkat"])
def test_a_removal_that_is_killed_before_any_call_can_be_repeated(site: Site, call: str) -> None:
    for number in itertools.count(1):
        bundle, other = older.bundles(site, 2)
        tracer = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}"]
        outcome = removal(site, bundle, tracer=tracer)
        if outcome.exit_code == 0:
            break
        assert bundle.record.exists() or begun(bundle).exists() or bundle.is_gone, (
            f"killed before {call} number {number}"
        )
        assert_done(removal(site, bundle))
        assert standing([bundle, other]) == [False, True]
        assert not list(site.bundle_folder.glob(".*"))
        shutil.rmtree(site.bundle_folder)
    assert number > 1
