"""What a policy has checked once stays checked, and so are the runs of a checked schedule.

The annotation of a restored run counts only when the policy has checked its author.
"""

from datetime import timedelta
from typing import Any

import pytest

from quotenode_backup.cluster.errors import Refused, Unavailable
from quotenode_backup.manifests import labels
from tests.unit.fakes.lives import assert_settled, finished, one_round, rounds, to_rest
from tests.unit.fakes.policies import (
    POLICY,
    approve,
    edited,
    enforced,
    later,
    renewed,
    schedule,
    withdrawn,
)
from tests.unit.fakes.world import BINDINGS, JOBS, POLICIES, RUNS, Client, World

MINUTE = timedelta(minutes=1)


def judged_schedule(world: World, client: Client, **spec: Any) -> World:
    world.apply("nightly", **({"schedule": "*/5 * * * *"} | spec))
    assert schedule(world, client)["phase"] == "Scheduled"
    return world


def runs(world: World) -> list[dict[str, Any]]:
    return [one for one in world.in_(RUNS) if "schedule" not in one["spec"]]


def go_on(client: Client, by: timedelta = MINUTE) -> None:
    end = client.world.now + by
    while client.world.now < end:
        finished(one_round(client))
        client.world.tick()


def test_a_schedule_goes_on_making_backups_while_its_policy_is_missing() -> None:
    world = enforced()
    client = Client(world, policy=POLICY)
    judged_schedule(world, client)
    withdrawn(world)
    go_on(client, 6 * MINUTE)
    assert [one["status"]["phase"] for one in runs(world)] == ["Completed"]


def test_a_backup_that_an_operator_catches_up_on_right_after_its_installation_is_made() -> None:
    """The backup is as old as the new policy, but its schedule was checked."""
    world = enforced()
    judged_schedule(world, Client(world, policy=POLICY))
    withdrawn(world)
    later(world, 6 * MINUTE)
    uid = world.enforce(POLICY)
    client = Client(world, policy=POLICY)
    later(world, timedelta(seconds=1))
    schedule(world, client)
    [made] = runs(world)
    assert made["metadata"]["creationTimestamp"] == world.now.isoformat()
    go_on(client)
    [made] = runs(world)
    assert (made["status"]["phase"], made["status"]["admissionPolicy"]) == ("Completed", uid)


def test_a_run_of_the_schedule_s_name_that_is_no_copy_of_it_is_not_judged_with_it() -> None:
    """Somebody who may set the operator's labels created the run before the operator could, with another Secret."""
    world = enforced()
    client = Client(world, policy=POLICY)
    judged_schedule(world, client)
    go_on(client, 6 * MINUTE)
    [made] = runs(world)
    del world.objects[f"{RUNS}/{made['metadata']['name']}"]
    world.change(f"{RUNS}/nightly", status=world.status("nightly") | {"slotsFrom": "2026-03-01T02:00:05+00:00"})
    withdrawn(world)
    database = made["spec"]["database"] | {"credentialsSecretRef": {"name": "another"}}
    planted = {"metadata": {"labels": made["metadata"]["labels"]}, "spec": made["spec"] | {"database": database}}
    world.put(RUNS, made["metadata"]["name"], planted)
    jobs = len(world.in_(JOBS))
    go_on(client)
    [planted] = runs(world)
    assert (planted["status"]["phase"], planted["status"]["reason"]) == ("Pending", "PolicyNotEnforced")
    assert "admissionPolicy" not in planted["status"]
    assert len(world.in_(JOBS)) == jobs


def test_a_schedule_that_was_judged_is_taken_over_by_the_policy_of_a_new_installation_and_may_be_edited() -> None:
    world = enforced()
    judged_schedule(world, Client(world, policy=POLICY))
    uid = renewed(world)
    client = Client(world, policy=POLICY)
    assert schedule(world, client)["admissionPolicy"] == uid
    edited(world, "nightly", schedule="0 3 * * *")
    found = schedule(world, client)
    assert (found["phase"], found["observedGeneration"]) == ("Scheduled", 2)


def test_a_schedule_that_was_edited_before_the_new_policy_had_it_is_not_taken_over() -> None:
    world = enforced()
    judged_schedule(world, Client(world, policy=POLICY))
    edited(world, "nightly", schedule="0 3 * * *")
    renewed(world)
    assert schedule(world, Client(world, policy=POLICY))["reason"] == "OlderThanPolicy"


@pytest.mark.parametrize("gone", [POLICIES, BINDINGS])
def test_a_schedule_that_was_edited_while_one_half_of_the_policy_was_gone_was_not_judged(gone: str) -> None:
    world = enforced()
    client = Client(world, policy=POLICY)
    judged_schedule(world, client)
    half = world.objects.pop(f"{gone}/{POLICY}")
    edited(world, "nightly", schedule="0 3 * * *")
    later(world)
    world.put(gone, POLICY, {"spec": half["spec"]})
    later(world)
    found = schedule(world, client)
    assert found["reason"] == "OlderThanPolicy"
    approve(world, "nightly", found["message"].rpartition("=")[2])
    assert schedule(world, client)["phase"] == "Scheduled"


@pytest.mark.parametrize(("is_edited", "reason"), [(False, "Scheduled"), (True, "OlderThanPolicy")])
def test_what_was_judged_stays_so_while_the_policy_is_switched_off_unless_it_is_edited_then(
    is_edited: bool, reason: str
) -> None:
    world = enforced()
    judged_schedule(world, Client(world, policy=POLICY))
    withdrawn(world)
    if is_edited:
        edited(world, "nightly", schedule="0 3 * * *")
    assert schedule(world, Client(world))["phase"] == "Scheduled"
    later(world)
    world.enforce(POLICY)
    later(world)
    assert schedule(world, Client(world, policy=POLICY))["reason"] == reason


def came_back_before_the_policy() -> tuple[World, str]:
    """A world with a backup that had finished and lost its status, and the UID of a policy that is younger than both."""
    world = World()
    world.apply("night")
    to_rest(world)
    world.restore()
    uid = world.enforce(POLICY)
    later(world)
    return world, uid


def test_what_an_annotation_says_is_not_acted_on_before_somebody_was_asked() -> None:
    """The annotation names a claim, and a Job would read that claim."""
    world, uid = came_back_before_the_policy()
    jobs = [path for path in world.created if path.startswith(JOBS)]
    client = Client(world, policy=POLICY)
    rounds(client)
    found = world.status("night")
    assert (found["phase"], found["reason"]) == ("Pending", "OlderThanPolicy")
    assert found["message"].endswith(
        f"kubectl annotate quotenodebackup -n shop night --overwrite {labels.APPROVED}={uid}"
    )
    assert [path for path in world.created if path.startswith(JOBS)] == jobs

    approve(world, "night", uid)
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert len(world.bundles) == 1, "it was looked for, and not made again"


def test_what_comes_back_under_a_policy_is_judged_by_it() -> None:
    world = enforced()
    client = Client(world, policy=POLICY)
    world.apply("night")
    to_rest(world, client)
    world.restore()
    to_rest(world, client)
    assert (world.status("night")["phase"], len(world.bundles)) == ("Completed", 1)


@pytest.mark.parametrize("answer", [Unavailable("failed calling webhook (500)"), Refused("denied by policy (403)")])
def test_an_annotation_that_cannot_be_written_keeps_no_lock(answer: Exception) -> None:
    world = World()

    def without_annotations(moment: str, request: str) -> None:
        if moment == "before" and request == f"PATCH {RUNS}/night":
            raise answer

    world.apply("night")
    rounds(Client(world, without_annotations), 12)
    assert "annotations" not in world.objects[f"{RUNS}/night"]["metadata"]
    assert world.status("night")["phase"] == "Completed"
    assert_settled(world)
