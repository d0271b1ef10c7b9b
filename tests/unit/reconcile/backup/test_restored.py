"""A namespace that is restored without the statuses of its backups: no finished run runs again, and none is lost."""

import copy
import json
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from quotenode_backup.cluster.errors import Refused
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.results import Outcome
from quotenode_backup.domain.owner import Key
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from tests.unit.fakes.lives import (
    Operator,
    event_reasons,
    finished,
    killed_everywhere,
    killer,
    live_until,
    one_round,
    reconciler,
    to_rest,
)
from tests.unit.fakes.world import CLAIMS, DEPLOYMENTS, JOBS, LEASES, RUNS, Client, Killed, World

SAVED = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
"""When the statuses are lost."""
A_WHILE = live_until(SAVED + timedelta(minutes=5))
APPLICATION = {"workloads": [{"kind": "Deployment", "name": "backend"}]}
STATUS_THAT_COMES_BACK = (
    "phase",
    "startTime",
    "completionTime",
    "sizeBytes",
    "size",
    "checksum",
    "destinations",
    "components",
)


def script(plan: BackupPlan) -> Reason:
    return Reason.CREDENTIALS_REFUSED if plan.name == "refused" else Reason.COMPLETED


def with_application() -> World:
    world = World(script)
    world.put(CLAIMS, "files", {"spec": {"accessModes": ["ReadWriteOnce"]}})
    world.deploy("backend", 3)
    return world


@cache
def _past() -> World:
    """A namespace whose runs have finished: one-offs with retention, offline and failed ones, and a triggered run."""
    world = with_application()
    for number in range(3):
        world.apply(f"one-{number}", retention={"keepLast": 7})
        world.tick()
    world.apply("offline", mode="Offline", application=APPLICATION, retention={"keepLast": 7}, pod={"runAsUser": 1000})
    world.apply("refused")
    world.apply("nightly", schedule="0 0 0 1 1 *", suspend=True, trigger="before the import", retention={"keepLast": 7})
    live_until(SAVED)(world, None)
    return world


def past() -> World:
    return copy.deepcopy(_past())


def came_back() -> World:
    world = past()
    world.restore()
    return world


def run_names(world: World) -> set[str]:
    return {run["metadata"]["name"] for run in world.in_(RUNS) if "schedule" not in run["spec"]}


def kept_of(world: World, name: str) -> dict[str, Any]:
    return {key: world.status(name).get(key) for key in STATUS_THAT_COMES_BACK}


def condition(world: World, name: str, kind: str) -> tuple[str, str]:
    [found] = [one for one in world.status(name).get("conditions", []) if one["type"] == kind] or [{}]
    return found.get("status", ""), found.get("reason", "")


def backups_made(world: World) -> int:
    return len(world.served_during_dump)


def mark(world: World, name: str) -> dict[str, Any]:
    text = world.objects[f"{RUNS}/{name}"]["metadata"].get("annotations", {}).get(labels.FINISHED, "{}")
    found: dict[str, Any] = json.loads(text)
    return found


def assert_is_history(world: World) -> None:
    """Nothing ran, nothing was stopped, no bundle is gone, and each run has the status that it had."""
    before = _past()
    assert (backups_made(world), world.bundles) == (backups_made(before), before.bundles)
    assert run_names(world) == run_names(before)
    assert {name: kept_of(world, name) for name in run_names(world)} == {
        name: kept_of(before, name) for name in run_names(before)
    }
    assert (world.replicas("backend"), world.status("nightly")["lastTrigger"]) == (3, "before the import")
    searched = [path for path in world.created if path.startswith(f"{JOBS}/qnb-find-")]
    assert len(searched) == len(set(searched)) == len(before.bundles)


def test_a_finished_run_that_is_restored_does_not_run_again_and_has_its_status_back() -> None:
    assert len(_past().bundles) == 5
    world = came_back()
    client = A_WHILE(world, None)
    assert_is_history(world)
    assert not [write for write in client.writes if "/scale" in write or "/leases" in write]
    for name in run_names(world) - {"refused"}:
        for kind in ("Accepted", "Complete", "Verified", "LocalBundlePresent", "Restored"):
            assert condition(world, name, kind)[0] == "True", (name, kind)
    assert condition(world, "refused", "Failed") == ("True", "CredentialsRefused")
    assert event_reasons(world).count("TriggerIgnored") == 1
    assert world.status("nightly")["lastSuccessfulTime"] == _past().status("nightly")["lastSuccessfulTime"]


def test_killed_at_every_write_a_restored_run_never_runs_again() -> None:
    killed_everywhere(came_back, assert_is_history, least=20, live=A_WHILE)


@pytest.mark.parametrize("seed", range(4))
def test_with_two_operators_a_restored_run_never_runs_again(seed: int) -> None:
    world = came_back()
    operators = [Operator(world), Operator(world)]
    for turn in random.Random(seed).choices(range(3), weights=(40, 40, 4), k=600):
        if turn == 2:
            world.tick()
        else:
            operators[turn].step()
    for operator in operators:
        operator.kill()
    A_WHILE(world, None)
    assert_is_history(world)


def test_a_run_can_be_restored_several_times() -> None:
    world = came_back()
    A_WHILE(world, None)
    uids = {name: mark(world, name)["uid"] for name in run_names(world)}
    world.restore()
    live_until(SAVED + timedelta(minutes=10))(world, None)
    assert backups_made(world) == backups_made(_past())
    assert {name: mark(world, name)["uid"] for name in run_names(world)} == uids
    assert {world.status(name)["phase"] for name in run_names(world)} == {"Completed", "Failed"}


def test_a_run_that_is_restored_with_its_status_is_left_as_it_is() -> None:
    world = past()
    world.restore(with_status=True)
    before = {name: world.status(name) | {"originalUid": mark(world, name)["uid"]} for name in run_names(world)}
    A_WHILE(world, None)
    assert {name: world.status(name) for name in run_names(world)} == before
    assert world.bundles == _past().bundles


@pytest.mark.parametrize("with_status", [True, False])
def test_an_annotation_that_is_left_out_later_is_made_anew_with_the_uid_of_the_bundle(with_status: bool) -> None:
    """`kubectl replace` with a plain manifest does that."""
    world = past()
    world.restore(with_status=with_status)
    A_WHILE(world, None)
    expected = mark(world, "one-0")
    del world.objects[f"{RUNS}/one-0"]["metadata"]["annotations"]
    live_until(SAVED + timedelta(minutes=6))(world, None)
    assert mark(world, "one-0") == expected
    assert expected["uid"] in world.bundles


@pytest.mark.parametrize("with_status", [True, False])
def test_the_bundle_of_a_restored_run_keeps_the_uid_that_it_was_stored_with(with_status: bool) -> None:
    world = past()
    world.restore(with_status=with_status)
    A_WHILE(world, None)
    world.apply("next", retention={"keepLast": 3})
    live_until(SAVED + timedelta(minutes=10))(world, None)
    left = {mark(world, name)["uid"] for name in run_names(world) if mark(world, name).get("bundle")} & set(
        world.bundles
    )
    assert len(left) == len(world.bundles) == 3
    for name in run_names(world) - {"refused"}:
        is_there = mark(world, name)["uid"] in world.bundles
        assert condition(world, name, "LocalBundlePresent") == (
            ("True", "Completed") if is_there else ("False", "Pruned")
        ), name


def test_a_row_that_is_owed_gets_the_id_that_the_run_had() -> None:
    world = with_application()
    uid = world.apply("night", auditLog="Enabled")
    world.table = "away"
    client = live_until(world.now + timedelta(minutes=1))(world, None)
    assert world.status("night")["phase"] == "Completed"
    world.restore(with_status=True)
    world.table = "fit"
    to_rest(world, client)
    assert world.rows == {uid: "COMPLETED"}


@pytest.mark.parametrize("looked_for", [True, False])
def test_a_restored_run_that_is_deleted_takes_its_own_bundle_along_and_no_other(looked_for: bool) -> None:
    world = past()
    uid = mark(world, "one-1")["uid"]
    world.restore()
    if looked_for:
        A_WHILE(world, None)
    world.objects[f"{RUNS}/one-1"]["spec"]["deletionPolicy"] = "Delete"
    world.objects[f"{RUNS}/one-1"]["metadata"]["finalizers"] = [labels.FINALIZER]
    world.delete("one-1")
    live_until(world.now + timedelta(minutes=3))(world, None)
    assert f"{RUNS}/one-1" not in world.objects
    assert world.bundles == [one for one in _past().bundles if one != uid]


def test_a_restored_run_whose_bundle_is_gone_is_never_complete() -> None:
    world = came_back()
    world.bundles.clear()
    A_WHILE(world, None)
    assert backups_made(world) == backups_made(_past())
    for name in run_names(world) - {"refused"}:
        assert world.status(name)["phase"] == "Restored"
        assert condition(world, name, "Complete") == ("", "")
        assert condition(world, name, "LocalBundlePresent") == ("False", "BundleMissing")
        assert "checksum" not in world.status(name)
        assert world.status(name)["message"].endswith("tar.gz is not there")
    assert "lastSuccessfulTime" not in world.status("nightly")
    assert event_reasons(world).count("BundleMissing") == 5


def one_off(name: str = "night", **spec: Any) -> World:
    world = with_application()
    world.apply(name, **spec)
    to_rest(world)
    return world


def test_a_restored_run_waits_for_a_claim_that_does_not_exist_yet() -> None:
    world = one_off()
    claim = world.objects.pop(f"{CLAIMS}/bundles")
    world.restore()
    client = live_until(world.now + timedelta(minutes=3))(world, None)
    assert condition(world, "night", "LocalBundlePresent") == ("Unknown", "SearchingBundle")
    assert "PersistentVolumeClaim bundles does not exist" in world.status("night")["message"]
    world.objects[f"{CLAIMS}/bundles"] = claim
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"


def test_a_search_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = one_off()
    world.restore()
    search, tries = World._searched, []

    def at_the_third_try(self: World, plan: Any) -> Any:
        tries.append(plan.attempt)
        failed = {
            "outcome": Outcome.FAILED,
            "reason": Reason.FILE_UNREADABLE,
            "message": "User id 1000 can't read it",
            "bundle": None,
        }
        return search(self, plan) if plan.attempt == 3 else search(self, plan).model_copy(update=failed)

    monkeypatch.setattr(World, "_searched", at_the_third_try)
    client = live_until(world.now + timedelta(minutes=1))(world, None)
    assert "User id 1000 can't read it" in str(world.status("night")["conditions"])
    to_rest(world, client)
    assert (tries, world.status("night")["phase"]) == ([1, 2, 3], "Completed")


def test_the_bundles_of_hundreds_of_restored_runs_are_looked_for_a_few_at_a_time() -> None:
    world = with_application()
    for number in range(12):
        world.apply(f"one-{number}")
    to_rest(world)
    world.restore()
    client, most = Client(world), 0
    while finished(one_round(client)):
        at_work = [job for job in world.in_(JOBS) if not job.get("status") and "qnb-find" in job["metadata"]["name"]]
        most = max(most, len(at_work))
        world.tick()
    assert (most, len(world.bundles)) == (4, 12)
    assert {world.status(name)["phase"] for name in run_names(world)} == {"Completed"}


def test_an_annotation_that_the_operator_died_before_writing_is_written_later() -> None:
    world = one_off()
    expected = mark(world, "night")
    assert expected["uid"] == world.objects[f"{RUNS}/night"]["metadata"]["uid"]
    del world.objects[f"{RUNS}/night"]["metadata"]["annotations"]
    to_rest(world)
    assert mark(world, "night") == expected


def test_an_annotation_that_the_cluster_refuses_holds_nothing_up() -> None:
    def refuse(moment: str, request: str) -> None:
        if (moment, request) == ("before", f"PATCH {RUNS}/night"):
            raise Refused("a policy says no (403)")

    world = with_application()
    world.apply("night")
    client = Client(world, refuse)
    live_until(world.now + timedelta(minutes=1))(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert all("ttlSecondsAfterFinished" in job["spec"] for job in world.in_(JOBS))
    assert mark(world, "night") == {}


def test_an_offline_run_is_marked_only_when_the_application_serves() -> None:
    world, seen = with_application(), []

    def look(moment: str, request: str) -> None:
        if (moment, request) == ("before", f"PATCH {RUNS}/night"):
            seen.append(world.replicas("backend"))

    world.apply("night", mode="Offline", application=APPLICATION, pod={"runAsUser": 1000})
    to_rest(world, Client(world, look))
    assert seen == [3]


def forged(world: World, **changes: Any) -> World:
    """Change the annotation of a run."""
    meta = world.objects[f"{RUNS}/night"]["metadata"]
    meta["annotations"][labels.FINISHED] = json.dumps(mark(world, "night") | changes)
    return world


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "noon"}, id="of another resource"),
        pytest.param({"phase": "Running"}, id="no phase of an end"),
        pytest.param({"uid": ""}, id="nobody's"),
        pytest.param({"bundle": {"path": "x" * 20_000}}, id="too long"),
    ],
)
def test_an_annotation_that_is_not_about_this_run_is_ignored(changes: dict[str, Any]) -> None:
    world = forged(one_off(), **changes)
    world.restore()
    to_rest(world)
    assert (backups_made(world), world.status("night")["phase"]) == (2, "Completed")
    assert mark(world, "night")["uid"] == world.objects[f"{RUNS}/night"]["metadata"]["uid"]


def test_a_manifest_that_is_copied_under_another_name_is_a_new_backup() -> None:
    world = one_off()
    copied = copy.deepcopy(world.objects[f"{RUNS}/night"])
    world.put(RUNS, "noon", {"metadata": {"annotations": copied["metadata"]["annotations"]}, "spec": copied["spec"]})
    to_rest(world)
    assert (backups_made(world), mark(world, "noon")["name"]) == (2, "noon")


def test_an_annotation_that_contradicts_the_status_is_corrected() -> None:
    world = forged(one_off(), phase="Failed")
    to_rest(world)
    assert (mark(world, "night")["phase"], backups_made(world)) == ("Completed", 1)


def test_no_run_waits_for_one_that_has_finished_and_lost_its_status() -> None:
    """Not even if no pass has seen that run yet."""
    world = one_off()
    world.restore()
    world.tick()
    world.apply("noon")
    client = Client(world)
    for _ in range(4):
        finished(reconciler(world, client).reconcile(Key("QuoteNodeBackup", "shop", "noon")))
    assert "WaitingForTarget" not in event_reasons(world)
    assert world.in_(JOBS)


def test_a_lease_that_came_back_with_the_run_is_freed_and_what_it_says_was_stopped_serves() -> None:
    """The Lease was saved while the run had the application stopped, and the run when it had ended."""
    world = one_off()
    scale = world.objects[f"{DEPLOYMENTS}/backend/scale"]["metadata"]
    stopped = {
        "workloads": [{"kind": "Deployment", "name": "backend", "uid": scale["uid"], "replicas": 3}],
        "user": 1000,
    }
    [path] = [path for path in world.objects if path.startswith(LEASES)]
    notes = {labels.HOLDER: "night", labels.STOPPED: json.dumps(stopped)}
    held = world.objects[path]["spec"] | {"holderIdentity": mark(world, "night")["uid"]}
    world.change(path, spec=held, metadata=world.objects[path]["metadata"] | {"annotations": notes})
    world.scale("backend", 0)
    world.restore()
    to_rest(world)
    assert (world.replicas("backend"), world.objects[path]["spec"]["holderIdentity"]) == (3, "")
    assert backups_made(world) == 1


def test_a_bundle_in_the_folder_of_another_namespace_is_not_called_pruned() -> None:
    """A run that was restored into another namespace keeps its bundle where it was."""
    world = one_off()
    world.objects[f"{RUNS}/night"]["status"]["destinations"][0]["path"] = "live-0/one.tar.gz"
    world.apply("next", retention={"keepLast": 1})
    to_rest(world)
    assert len(world.bundles) == 1
    assert condition(world, "night", "LocalBundlePresent") == ("True", "Completed")


QUARTERS = "0 */15 * * * *"
AN_HOUR_OF_SLOTS = live_until(datetime(2026, 3, 1, 2, 58, tzinfo=UTC))


def slots_of_an_hour(**limits: int) -> World:
    world = with_application()
    world.apply("nightly", schedule=QUARTERS, retention={"keepLast": 1}, **limits)
    AN_HOUR_OF_SLOTS(world, None)
    world.restore()
    return world


def test_a_schedule_that_comes_back_goes_on_with_its_next_slot() -> None:
    world = slots_of_an_hour()
    assert len(world.bundles) == 1
    live_until(SAVED + timedelta(minutes=18))(world, None)
    assert backups_made(world) == 3 + 2
    assert world.status("nightly").get("skippedSlots", 0) == 0


def test_the_limits_of_a_schedule_count_the_runs_that_came_back_with_it() -> None:
    world = slots_of_an_hour(successfulRunsHistoryLimit=1)
    live_until(world.now + timedelta(seconds=90))(world, None)
    phases = sorted(world.status(name)["phase"] for name in run_names(world))
    assert phases == ["Completed", "Restored"]
    last = world.status("nightly")["lastRun"]
    assert last["phase"] == "Completed"


def test_the_runs_of_an_earlier_schedule_of_that_name_stay() -> None:
    world = with_application()
    world.apply("nightly", schedule=QUARTERS, retention={"keepLast": 1})
    live_until(datetime(2026, 3, 1, 2, 34, tzinfo=UTC))(world, None)
    kept = run_names(world)
    world.delete("nightly")
    world.apply("nightly", schedule="0 0 0 1 1 *", successfulRunsHistoryLimit=0)
    live_until(world.now + timedelta(minutes=2))(world, None)
    assert run_names(world) == kept


def triggered(value: str | None = "now", **spec: Any) -> World:
    world = with_application()
    world.apply("nightly", schedule="0 0 0 1 1 *", suspend=True, trigger=value, **spec)
    live_until(world.now + timedelta(minutes=2))(world, None)
    return world


def retrigger(world: World, value: str | None, client: Client | None = None) -> None:
    path = f"{RUNS}/nightly"
    spec = {key: known for key, known in world.objects[path]["spec"].items() if key != "trigger"}
    world.change(path, spec=spec | ({"trigger": value} if value else {}))
    live_until(world.now + timedelta(minutes=2))(world, client)


def annotated_trigger(world: World) -> str | None:
    found: str | None = world.objects[f"{RUNS}/nightly"]["metadata"].get("annotations", {}).get(labels.LAST_TRIGGER)
    return found


def test_a_trigger_that_comes_back_starts_nothing_and_a_new_one_does() -> None:
    world = triggered()
    assert annotated_trigger(world) == "now"
    world.restore()
    live_until(world.now + timedelta(minutes=2))(world, None)
    assert (backups_made(world), event_reasons(world).count("TriggerIgnored")) == (1, 1)
    retrigger(world, "again")
    assert (backups_made(world), annotated_trigger(world)) == (2, "again")


def test_a_trigger_that_was_taken_back_leaves_no_annotation() -> None:
    world = triggered()
    retrigger(world, None)
    assert (annotated_trigger(world), world.status("nightly").get("lastTrigger")) == (None, None)


@pytest.mark.parametrize("killed_at", range(1, 5))
def test_a_trigger_that_was_taken_back_can_be_used_again_whenever_the_operator_dies(killed_at: int) -> None:
    world = triggered()
    for name in run_names(world):
        world.delete(name)
    with suppress(Killed):
        retrigger(world, None, Client(world, killer(killed_at)))
    is_forgotten = "lastTrigger" not in world.status("nightly")
    retrigger(world, "now")
    assert backups_made(world) == (2 if is_forgotten else 1)


def test_a_schedule_that_can_not_be_read_keeps_what_it_knows_of_its_trigger() -> None:
    world = triggered()
    world.restore()
    path = f"{RUNS}/nightly"
    good = world.objects[path]["spec"]
    world.change(path, spec=good | {"timeZone": "Mars/Olympus"})
    live_until(world.now + timedelta(minutes=1))(world, None)
    assert world.status("nightly")["reason"] == "ScheduleInvalid"
    world.change(path, spec=good)
    live_until(world.now + timedelta(minutes=2))(world, None)
    assert backups_made(world) == 1
