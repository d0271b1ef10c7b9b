"""Whole lives of restores in a cluster in memory that nothing disturbs."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from quotenode_backup.domain.reasons import Reason
from tests.unit.fakes.lives import event_reasons, rounds_until, to_rest
from tests.unit.fakes.restores import (
    APPLICATION,
    RESTORES,
    assert_clean,
    assert_restored,
    assert_serving,
    assert_unchanged,
    ended,
    ends,
    holding,
    restore,
    status,
    steps,
    uid,
    until_a_job,
    until_ended,
    with_backup,
)
from tests.unit.fakes.world import AUTOSCALERS, CLAIMS, DEPLOYMENTS, LEASES, RUNS, Client, World

HEALTH: dict[str, Any] = {"application": {"healthCheck": {"url": "http://backend/health"}}}
FILES: dict[str, Any] = {"files": [{"name": "uploads", "claimName": "files"}], "pod": {"runAsUser": 1000}}


def test_three_lines_restore_what_was_backed_up() -> None:
    world = with_backup()
    to_rest(world)
    assert_restored(world)
    assert steps(world) == ["backup", "verify", "load", "swap", "expire"]


def test_the_status_says_how_long_each_part_took() -> None:
    world = with_backup(**HEALTH)
    until_ended(world)
    found = status(world)
    assert (found["loadSeconds"], found["swapSeconds"]) == (2.0, 1.0)
    assert found["stopSeconds"] > 0
    assert found["startSeconds"] > 0
    assert holding(world)["Healthy"] == "True"


def test_what_was_replaced_is_kept_for_a_week_unless_the_restore_says_otherwise() -> None:
    world = with_backup()
    del world.objects[f"{RESTORES}/again"]["spec"]["keepReplacedSeconds"]
    client = until_ended(world)
    assert world.restores.kept == {uid(world)}
    world.now += timedelta(days=6, hours=23)
    until_ended(world, client=client)
    assert world.restores.kept == {uid(world)}
    world.now += timedelta(hours=1)
    to_rest(world, client)
    assert_restored(world)


def test_data_that_is_kept_for_longer_than_was_planned_says_so() -> None:
    world = with_backup()
    client = until_ended(world)
    world.objects[f"{RESTORES}/again"]["spec"]["keepReplacedSeconds"] = 3600
    until_ended(world, client=client)
    restored = datetime.fromisoformat(status(world)["pointOfNoReturn"])
    assert datetime.fromisoformat(status(world)["replaced"]["until"]) == restored + timedelta(hours=1)


def test_a_dry_run_takes_no_lock_and_stops_nothing() -> None:
    world = with_backup(dryRun=True)
    locks = len(world.in_(LEASES))
    to_rest(world)
    assert_serving(world)
    assert_clean(world)
    assert ended(world) == ("Completed", "PlanOnly")
    assert status(world)["kind"] == "DryRun"
    assert world.restores.live == "old"
    assert len(world.in_(LEASES)) == locks
    assert steps(world) == ["backup", "verify"]


def test_a_dry_run_that_fails_has_nothing_to_clean_up() -> None:
    world = with_backup(ends(verify=[Reason.BUNDLE_INVALID]), dryRun=True)
    to_rest(world)
    assert_unchanged(world)
    assert steps(world) == ["backup", "verify"]


@pytest.mark.parametrize("reason", [Reason.BUNDLE_INVALID, Reason.NO_SPACE, Reason.ROLE_MISSING, Reason.OTHER_DATABASE])
def test_what_is_refused_leaves_everything_as_it_was(reason: Reason) -> None:
    world = with_backup(ends(verify=[reason]))
    to_rest(world)
    assert_unchanged(world)
    assert status(world)["reason"] == reason
    assert "StoppingApplication" not in event_reasons(world)


def test_a_load_that_fails_is_tried_again() -> None:
    world = with_backup(ends(load=[Reason.LOAD_FAILED]))
    to_rest(world)
    assert_restored(world)


def test_a_load_that_fails_again_is_cleaned_up() -> None:
    world = with_backup(ends(load=[Reason.LOAD_FAILED] * 2))
    to_rest(world)
    assert_unchanged(world)
    assert steps(world)[-1] == "expire"


def test_an_application_that_does_not_answer_is_not_undone() -> None:
    world = with_backup(ends(health=[Reason.HEALTH_CHECK_FAILED]), **HEALTH)
    until_ended(world)
    assert_serving(world)
    assert ended(world) == ("Failed", "HealthCheckFailed")
    assert world.restores.live == uid(world)
    found = holding(world)
    assert (found["Restored"], found["Healthy"], found["ReplacedDataKept"]) == ("True", "False", "True")


def test_a_deadline_ends_a_restore_only_while_nothing_is_stopped() -> None:
    world = with_backup(ends(load=[Reason.LOAD_FAILED] * 9), activeDeadlineSeconds=60, backoffLimit=10)
    to_rest(world)
    assert_unchanged(world)
    assert status(world)["reason"] == "DeadlineExceeded"


def test_what_was_down_before_the_restore_serves_after_it() -> None:
    world = with_backup(**FILES)
    world.put(CLAIMS, "files", {"spec": {"accessModes": ["ReadWriteMany"]}})
    world.scale("backend", 0)
    to_rest(world)
    assert world.replicas("backend") == 1
    assert ended(world) == ("Completed", "Completed")


def test_the_newest_backup_from_before_some_moment_is_looked_up_once() -> None:
    world = World()
    world.deploy("backend", 2)
    world.apply("nightly", schedule="0 3 * * *", application=APPLICATION, trigger="one")
    client = until_complete(world, 1)
    moment = world.now
    world.now += timedelta(minutes=5)
    world.change(f"{RUNS}/nightly", spec=world.objects[f"{RUNS}/nightly"]["spec"] | {"trigger": "two"})
    until_complete(world, 2, client)
    restore(world, "again", source={"latestOf": {"schedule": "nightly", "before": moment.isoformat()}})
    until_ended(world, client=client)
    assert ended(world) == ("Completed", "Completed")
    [first, _] = sorted(runs_of(world), key=lambda run: run["status"]["startTime"])
    assert status(world)["source"]["run"] == first["metadata"]["name"]


def runs_of(world: World) -> list[Any]:
    return [run for run in world.in_(RUNS) if run["metadata"]["name"] != "nightly"]


def until_complete(world: World, count: int, client: Client | None = None) -> Client:
    client = client or Client(world)
    phases = ("phase", "Completed")
    rounds_until(client, lambda: sum(phases in run.get("status", {}).items() for run in runs_of(world)) == count)
    return client


@pytest.mark.parametrize(
    ("source", "reason", "sentence"),
    [
        ({"backupName": "second"}, "SourceMissing", "There is no QuoteNodeBackup second"),
        ({"backupName": "first", "sha256": "0" * 64}, "BundleInvalid", "spec.source.sha256 asks for another one"),
        ({"latestOf": {"schedule": "first", "before": "2030-01-01T00:00:00Z"}}, "SourceMissing", "no schedule first"),
        ({"undoOf": "never"}, "SourceMissing", "There is no QuoteNodeRestore never"),
        ({"undoOf": "again"}, "SpecInvalid", "names the restore itself"),
    ],
)
def test_another_source_is_never_restored_instead(source: dict[str, Any], reason: str, sentence: str) -> None:
    world = with_backup(source=source)
    to_rest(world)
    assert ended(world) == ("Failed", reason)
    assert sentence in status(world)["message"]
    assert steps(world) == ["backup"]
    assert_serving(world)


def test_what_was_replaced_can_be_put_back() -> None:
    world = with_backup()
    client = until_ended(world)
    restore(world, "back", source={"undoOf": "again"})
    until_ended(world, "back", client)
    assert world.restores.live == uid(world, "back")
    assert status(world, "back")["kind"] == "Undo"
    to_rest(world, client)
    assert_serving(world)
    assert_clean(world)


def test_what_was_replaced_and_removed_cannot_be_put_back() -> None:
    world = with_backup()
    client = to_rest(world)
    restore(world, "back", source={"undoOf": "again"})
    to_rest(world, client)
    assert ended(world, "back") == ("Failed", "SourceMissing")
    assert "is not kept any more" in status(world, "back")["message"]


def test_what_an_undo_is_about_to_put_back_is_not_removed_under_it() -> None:
    world = with_backup(ends(swap=[Reason.COMPLETED, Reason.SWAP_UNDECIDED, Reason.SWAP_UNDECIDED]))
    client = until_ended(world)
    restore(world, "back", source={"undoOf": "again"}, keepReplacedSeconds=3600)
    until_ended(world, "back", client)
    order = steps(world)
    assert "expire" not in order[: len(order) - 1 - order[::-1].index("swap")]


def test_a_pod_of_others_that_has_the_files_is_named_before_anything_is_loaded() -> None:
    world = with_backup(**FILES)
    world.put(CLAIMS, "files", {"spec": {"accessModes": ["ReadWriteMany"]}})
    world.deploy("cron", 1)
    to_rest(world)
    assert_unchanged(world)
    assert status(world)["reason"] == "ClaimInUse"
    assert "cron-0" in status(world)["message"]
    assert steps(world) == ["backup"]


def test_a_pod_of_others_that_came_during_the_load_is_named_before_the_swap() -> None:
    world = with_backup(**FILES)
    world.put(CLAIMS, "files", {"spec": {"accessModes": ["ReadWriteMany"]}})
    client = until_a_job(world, "load")
    world.deploy("cron", 1)
    to_rest(world, client)
    assert_unchanged(world)
    assert status(world)["reason"] == "ClaimInUse"
    assert "swap" not in steps(world)


def test_an_autoscaled_workload_is_named_before_anything_is_loaded() -> None:
    world = with_backup()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "backend"}
    world.put(AUTOSCALERS, "backend", {"spec": {"scaleTargetRef": target}})
    to_rest(world)
    assert_unchanged(world)
    assert status(world)["reason"] == "WorkloadAutoscaled"
    assert steps(world) == ["backup"]


def test_a_workload_that_somebody_starts_meanwhile_is_not_swapped_under() -> None:
    world = with_backup()
    client = Client(world)
    rounds_until(client, lambda: world.replicas("backend") == 0)
    world.scale("backend", 5)
    to_rest(world, client)
    assert ended(world) == ("Failed", "WorkloadScaledUp")
    assert world.replicas("backend") == 5
    assert world.restores.live == "old"


def test_a_restore_that_was_made_and_whose_resource_is_created_again_is_not_made_again() -> None:
    world = with_backup()
    client = to_rest(world)
    old = world.objects[f"{RESTORES}/again"]
    world.delete("again", RESTORES)
    annotations = old["metadata"]["annotations"]
    world.put(RESTORES, "again", {"metadata": {"annotations": annotations}, "spec": old["spec"]})
    to_rest(world, client)
    assert ended(world) == ("Recreated", "Recreated")
    assert steps(world).count("swap") == 1
    assert world.objects[f"{DEPLOYMENTS}/backend/scale"]["spec"]["replicas"] == 2
