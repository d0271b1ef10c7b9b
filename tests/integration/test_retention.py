"""The newest good bundles stay, older ones go; on any doubt all stay, and the run is Completed whatever happens."""

import itertools
import json
import os
import shutil
import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

import pytest

from quotenode_backup.contract import results
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.retention import FINGERPRINT_LENGTH, fingerprint, is_among
from tests.integration import older
from tests.integration.older import Older, standing
from tests.integration.pod import Outcome
from tests.integration.site import Site, StartOptions
from tests.integration.waiting import eventually

CALLS_OF_A_REMOVAL = ["fsync", "rename,renameat,renameat2", "unlink", "unlinkat"]


def pruned(site: Site, keep_last: int, **how: Unpack[StartOptions]) -> results.RetentionOutcome:
    outcome = site.backup(site.plan(retention={"keepLast": keep_last}), **how)
    return told(outcome)


def told(outcome: Outcome) -> results.RetentionOutcome:
    outcome.succeeded()
    assert outcome.result.retention is not None, outcome.story
    return outcome.result.retention


def traced(what: str, *more: str) -> list[str]:
    return ["strace", "-D", "-f", "-qq", *more, "-o", "/dev/null", "-e", what]


def test_as_many_bundles_stay_as_are_wanted_and_their_runs_are_listed(site: Site) -> None:
    before = older.bundles(site, 9)
    outcome = site.backup(site.plan(retention={"keepLast": 3}))
    retention = told(outcome)
    assert standing(before) == [True, True] + [False] * 7
    assert len(site.bundles()) == 3
    assert (retention.pruned, retention.problem) == (7, None)
    assert retention.survivors is not None
    assert {
        retention.survivors[at : at + FINGERPRINT_LENGTH]
        for at in range(0, len(retention.survivors), FINGERPRINT_LENGTH)
    } == {
        before[0].fingerprint,
        before[1].fingerprint,
        fingerprint(outcome.result.run_uid),
    }
    assert "7 older bundles were removed" in outcome.result.message
    site.assert_nothing_left_behind()


def test_real_bundles_go_one_by_one(site: Site) -> None:
    stored = [site.destination / site.backup(site.plan(retention={"keepLast": 2})).succeeded().path for _ in range(4)]
    assert [path.exists() for path in stored] == [False, False, True, True]
    for path in stored[2:]:
        site.open(path)
    site.assert_nothing_left_behind()


def test_without_retention_in_the_plan_no_bundle_goes(site: Site) -> None:
    before = older.bundles(site, 9)
    outcome = site.backup()
    assert outcome.result.retention is None
    assert all(standing(before))


def test_one_bundle_always_stays(site: Site) -> None:
    for _ in range(2):
        retention = pruned(site, 1)
        assert len(site.bundles()) == 1
    assert retention.pruned == 1


def test_the_second_attempt_of_a_run_removes_what_the_first_could_not(site: Site) -> None:
    uid = str(uuid.uuid4())
    before = older.bundles(site, 3)
    started = datetime.now(UTC).isoformat()
    first = site.backup(site.plan(runUid=uid, started=started)).succeeded()
    again = site.backup(site.plan(runUid=uid, started=started, attempt=2, retention={"keepLast": 1}))
    assert told(again).pruned == 3
    assert again.succeeded() == first
    assert not any(standing(before))


def rot(bundle: Older) -> None:
    bundle.rot()


def truncate(bundle: Older) -> None:
    os.truncate(bundle.path, 1000)


def replace_by_a_link(bundle: Older) -> None:
    shutil.copy(bundle.path, bundle.path.parent.parent / "elsewhere")
    bundle.path.unlink()
    bundle.path.symlink_to("../elsewhere")


def forbid(bundle: Older) -> None:
    shutil.chown(bundle.path, 0, 0)
    bundle.path.chmod(0)


@pytest.mark.parametrize("spoil", [rot, truncate, replace_by_a_link, forbid])
def test_a_spoilt_newest_bundle_is_named_and_an_older_good_one_stays_in_its_stead(
    site: Site, spoil: Callable[[Older], None]
) -> None:
    newest, *_ = before = older.bundles(site, 4)
    spoil(newest)
    retention = pruned(site, 3)
    assert standing(before) == [True, True, True, False]
    assert retention.problem
    assert newest.path.name in retention.problem


def test_a_missing_bundle_counts_for_nothing_and_its_record_goes_when_it_is_old(site: Site) -> None:
    before = older.bundles(site, 4)
    before[0].path.unlink()
    before[3].path.unlink()
    retention = pruned(site, 2)
    assert retention.problem
    assert before[0].path.name in retention.problem
    assert before[0].record.exists()
    assert standing(before[1:]) == [True, False, False]
    assert retention.survivors is not None
    assert not is_among(before[0].run_uid, retention.survivors)


def test_a_spoilt_bundle_that_is_old_goes_like_any_other(site: Site) -> None:
    before = older.bundles(site, 3)
    before[2].rot()
    assert pruned(site, 2).problem is None
    assert standing(before) == [True, False, False]


def test_a_folder_that_cannot_be_listed_keeps_all(site: Site) -> None:
    before = older.bundles(site, 5)
    tracer = traced("inject=getdents64:error=EACCES", "-P", f"/shipped/destination/{site.bundle_folder_name}")
    outcome = site.backup(site.plan(retention={"keepLast": 1}), tracer=tracer)
    retention = told(outcome)
    assert (retention.pruned, retention.survivors) == (0, None)
    assert retention.problem
    assert "Permission denied" in retention.problem
    assert "Permission denied" in outcome.result.message
    assert all(standing(before))


def test_a_folder_that_may_not_be_read_takes_no_bundle_and_loses_none(site: Site) -> None:
    before = older.bundles(site, 5)
    site.bundle_folder.chmod(0o300)
    outcome = site.backup(site.plan(retention={"keepLast": 1}))
    outcome.failed(Reason.DESTINATION_NOT_WRITABLE, "quotenode-backups")
    assert outcome.result.retention is None
    assert all(standing(before))


def test_a_record_that_cannot_be_read_is_left_with_its_bundle_and_keeps_no_other(site: Site) -> None:
    before = older.bundles(site, 5)
    forbidden = before[2].record
    shutil.chown(forbidden, 0, 0)
    forbidden.chmod(0)
    retention = pruned(site, 2)
    assert standing(before) == [True, False, True, False, False]
    assert (retention.pruned, retention.survivors) == (3, None)
    assert retention.problem
    assert forbidden.name in retention.problem
    assert "cannot be read" in retention.problem


def test_files_that_are_not_records_are_left_alone_and_mentioned(site: Site) -> None:
    before = older.bundles(site, 3)
    others = {"garbage.manifest.json": "{", "list.manifest.json": "[1]", "notes.txt": "mine", "old.tar.gz": "theirs"}
    for name, content in others.items():
        (site.bundle_folder / name).write_text(content)
    lost = json.loads(before[0].record.read_text())
    (site.bundle_folder / "other-name.manifest.json").write_text(json.dumps(lost))
    (site.bundle_folder / "link.manifest.json").symlink_to("link.manifest.json")
    retention = pruned(site, 1)
    assert retention.pruned == 3
    assert not any(standing(before))
    assert {name: (site.bundle_folder / name).read_text() for name in others} == others
    assert retention.problem
    assert "garbage.manifest.json and 3 more" in retention.problem
    assert retention.survivors == fingerprint(
        json.loads(next(site.bundle_folder.glob("quotenode*.json")).read_text())["runUid"]
    )


def test_a_bundle_whose_record_is_spoilt_stays_and_nobody_claims_to_know_all_survivors(site: Site) -> None:
    before = older.bundles(site, 2)
    before[1].record.write_text("{")
    retention = pruned(site, 1)
    assert before[1].path.exists()
    assert (retention.pruned, retention.survivors) == (1, None)


@pytest.mark.parametrize("answer", ["retval=0", "error=EIO"])
def test_a_listing_that_is_cut_short_removes_no_bundle_too_many(site: Site, answer: str) -> None:
    """Each reading of the folder in turn; the order in which a folder is listed is not the order of age."""
    in_folder = f"/shipped/destination/{site.bundle_folder_name}"
    doubts = 0
    for number in range(1, 13):
        before = older.bundles(site, 4)
        before[3].pin()
        retention = pruned(site, 3, tracer=traced(f"inject=getdents64:{answer}:when={number}", "-P", in_folder))
        assert standing(before) in ([True] * 4, [True, True, False, True])
        if retention.problem:
            doubts += 1
            assert retention.pruned == 0
        shutil.rmtree(site.bundle_folder)
    assert doubts >= 2


def test_ten_failures_in_a_row_remove_nothing(site: Site) -> None:
    before = older.bundles(site, 5)
    for _ in range(10):
        plan = site.plan(retention={"keepLast": 1}, files=[{"name": ".", "claimName": "c", "subPath": "not there"}])
        outcome = site.backup(plan)
        outcome.failed(Reason.SOURCE_PATH_MISSING)
        assert outcome.result.retention is None
    assert all(standing(before))


def test_a_pinned_bundle_stays_and_takes_no_other_ones_place(site: Site) -> None:
    before = older.bundles(site, 5)
    before[0].pin()
    before[4].pin()
    retention = pruned(site, 2)
    assert standing(before) == [True, True, False, False, True]
    assert retention.survivors is not None
    assert all(is_among(before[at].run_uid, retention.survivors) for at in (0, 1, 4))


def test_two_databases_in_one_claim_never_mix(site: Site) -> None:
    mine = older.bundles(site, 3)
    theirs = [older.bundle(site, days_ago=days, database="another") for days in (1, 2, 3)]
    stray = older.bundle(site, days_ago=0.5, database="another", on=site.bundle_folder)
    retention = pruned(site, 2)
    assert standing(mine) == [True, False, False]
    assert all(standing([*theirs, stray]))
    assert retention.problem
    assert stray.path.name in retention.problem


def test_two_servers_of_one_name_that_share_a_folder_do_not_prune_each_other(site: Site) -> None:
    """Two clusters with one exported folder, made from the same manifests."""
    mine = older.bundles(site, 3)
    theirs = [older.bundle(site, days_ago=days + 0.5, server="7000000000000000001") for days in (1, 2, 3)]
    retention = pruned(site, 2)
    assert standing(mine) == [True, False, False]
    assert all(standing(theirs))
    assert retention.problem
    assert "of another database, server or namespace, left as it is" in retention.problem


def test_a_bundle_from_a_clock_that_was_ahead_is_neither_counted_nor_removed(site: Site) -> None:
    ahead, *others = [older.bundle(site, days_ago=-365), *older.bundles(site, 3)]
    retention = pruned(site, 2)
    assert standing([ahead, *others]) == [True, True, False, False]
    assert retention.problem
    assert ahead.path.name in retention.problem


@pytest.mark.parametrize("call", CALLS_OF_A_REMOVAL)
def test_a_removal_that_is_killed_before_any_call_is_finished_by_the_next_run(site: Site, call: str) -> None:
    for number in itertools.count(1):
        before = older.bundles(site, 4)
        plan = site.plan(retention={"keepLast": 2})
        outcome = site.backup(plan, tracer=traced(f"inject={call}:signal=KILL:when={number}", "--seccomp-bpf"))
        assert_every_bundle_has_a_record(site)
        if outcome.exit_code == 0:
            break
        assert number < 30
        told(site.backup(plan))
        assert standing(before) == [True, False, False, False], f"killed before {call} number {number}"
        assert not list(site.bundle_folder.glob(".*")), f"killed before {call} number {number}"
        assert len(site.bundles()) == 2
        shutil.rmtree(site.bundle_folder)
    assert number > 1


def assert_every_bundle_has_a_record(site: Site) -> None:
    """As a commit record, as what a commit in progress leaves, or as what a removal in progress leaves."""
    for bundle in site.bundles():
        kept = (
            bundle.with_name(f"{bundle.name}.manifest.json"),
            bundle.with_name(f".pruned-{bundle.name}.manifest.json"),
        )
        assert any(path.is_file() for path in kept) or list(site.bundle_folder.glob(".partial-*.manifest.json")), bundle


def test_a_disk_that_does_not_let_go_keeps_bundles_and_records_together(site: Site) -> None:
    before = older.bundles(site, 3)
    names = [word for one in before for word in ("-P", one.path.name)]
    retention = pruned(site, 1, tracer=traced("inject=unlinkat:error=EIO", *names))
    assert all(standing(before))
    assert retention.problem
    assert "Input/output error" in retention.problem
    assert retention.survivors is not None
    assert all(is_among(one.run_uid, retention.survivors) for one in before)
    assert pruned(site, 1).pruned == 4


def test_a_run_that_is_told_to_stop_while_it_removes_bundles_stops_and_reports_its_own(site: Site) -> None:
    before = older.bundles(site, 6)
    pod = site.start(
        site.plan(retention={"keepLast": 1}), tracer=traced("inject=unlinkat:delay_enter=300000", "--seccomp-bpf")
    )
    eventually(lambda: list(site.bundle_folder.glob(".pruned-*")), "a removal has begun")
    pod.signal(signal.SIGTERM)
    retention = told(pod.wait(20))
    assert retention.pruned < 6
    assert any(standing(before))
    assert retention.problem
    pruned(site, 1)
    assert not any(standing(before))


def test_a_pin_that_comes_while_a_bundle_is_removed_brings_it_back(site: Site) -> None:
    before = older.bundles(site, 2)
    before[1].record.rename(before[1].path.with_name(f".pruned-{before[1].record.name}"))
    before[1].pin()
    pruned(site, 1)
    assert standing(before) == [False, True]
    assert Path(before[1].record).is_file()
