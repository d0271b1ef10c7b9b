"""Whole lives of runs in a cluster in memory: undisturbed, killed at every request, with faults, with two operators."""

import random
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quotenode_backup.cluster.errors import Invalid, Refused
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.contract.results import BackupResult, Outcome
from quotenode_backup.domain.reasons import VERDICTS, Reason, is_retryable
from quotenode_backup.manifests import labels
from tests.unit.fakes.given import as_termination_message, result
from tests.unit.fakes.lives import (
    Operator,
    assert_settled,
    ends_with,
    event_reasons,
    finished,
    killer,
    one_round,
    rounds,
    to_rest,
)
from tests.unit.fakes.world import JOBS, PODS, Client, Killed, Script, World


def test_a_run_that_goes_well() -> None:
    world = World()
    world.apply("night")
    to_rest(world)
    assert_settled(world)
    assert world.status("night")["phase"] == "Completed"
    assert event_reasons(world) == ["JobCreated", "Completed"]


def test_a_failure_that_another_attempt_cures() -> None:
    world = World(ends_with(Reason.SOURCE_UNREACHABLE, Reason.COMPLETED))
    world.apply("night")
    to_rest(world)
    assert_settled(world)
    assert [one["reason"] for one in world.status("night")["attempts"]] == ["SourceUnreachable", "Completed"]
    assert event_reasons(world) == ["JobCreated", "SourceUnreachable", "JobCreated", "Completed"]


def test_a_busy_lock_is_waited_out_without_an_end() -> None:
    world = World(ends_with(*[Reason.LOCK_BUSY] * 12, Reason.COMPLETED))
    world.apply("night", backoffLimit=0, activeDeadlineSeconds=30)
    to_rest(world)
    assert_settled(world)
    assert world.status("night")["attempts"][-1]["number"] == 13
    assert world.status("night").get("failures", 0) == 0
    assert len([path for path in world.objects if "/jobs/" in path]) == 1


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (Invalid("Job is invalid: spec.template (422)"), "Correct spec.pod"),
        (Refused("exceeded quota (403)"), "Raise the quota or relax the policy"),
    ],
)
def test_a_job_that_the_cluster_refuses_fails_with_what_to_do_about_it(answer: Refused, advice: str) -> None:
    def refuse(when: str, request: str) -> None:
        if (when, request) == ("before", f"POST {JOBS}"):
            raise answer

    world = World()
    world.apply("night")
    to_rest(world, Client(world, refuse))
    status = world.status("night")
    assert (status["phase"], status["reason"]) == ("Failed", "PodRejected")
    assert str(answer) in status["message"]
    assert status["message"].endswith(advice)


@pytest.mark.parametrize("reason", VERDICTS)
def test_a_failure_is_repeated_exactly_when_that_can_help(reason: Reason) -> None:
    world = World(ends_with(reason) if reason is not Reason.LOCK_BUSY else ends_with(reason, Reason.IO_ERROR))
    world.apply("night")
    to_rest(world)
    assert_settled(world)
    expected = {True: 2, False: 1}[is_retryable(reason)] + (reason is Reason.LOCK_BUSY)
    assert (world.status("night")["phase"], len(world.status("night")["attempts"])) == ("Failed", expected)


def test_ten_backups_of_one_database_run_in_order_of_age() -> None:
    world = World()
    uids = []
    for number in range(10):
        uids.append(world.apply(f"b{number}"))
        world.tick()
    to_rest(world)
    assert_settled(world)
    assert world.bundles == uids
    assert event_reasons(world).count("WaitingForTarget") == 9


def test_the_one_that_waits_names_the_one_that_runs() -> None:
    world, client = World(), None
    world.apply("first")
    world.tick()
    world.apply("second")
    client = Client(world)
    for _ in range(6):
        finished(one_round(client))
    assert world.status("second")["phase"] == "Pending"
    assert world.status("second")["message"].startswith("Waiting for first,")


@pytest.mark.parametrize("at", range(12))
def test_a_run_that_is_deleted_leaves_nothing_behind(at: int) -> None:
    world, client = World(), None
    world.apply("night")
    client = Client(world)
    rounds(client, at)
    world.delete("night")
    to_rest(world, client)
    world.apply("noon")
    to_rest(world, client)
    assert_settled(world)


SCENARIOS: dict[str, Script] = {
    "goes well": ends_with(Reason.COMPLETED),
    "fails for good": ends_with(Reason.CREDENTIALS_REFUSED),
    "is cured by a second attempt": ends_with(Reason.SOURCE_UNREACHABLE, Reason.COMPLETED),
    "waits for a lock": ends_with(Reason.LOCK_BUSY, Reason.COMPLETED),
}


def two_runs(script: Script) -> World:
    world = World(script)
    world.apply("first")
    world.tick()
    world.apply("second")
    return world


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_before_and_after_every_write_the_end_is_the_same(scenario: str) -> None:
    undisturbed = two_runs(SCENARIOS[scenario])
    writes = to_rest(undisturbed).writes
    assert len(writes) > 15
    for number in range(1, 2 * len(writes) + 3):
        world = two_runs(SCENARIOS[scenario])
        try:
            to_rest(world, Client(world, killer(number)))
        except Killed:
            to_rest(world)
        assert_settled(world)
        for name in ("first", "second"):
            assert world.status(name)["phase"] == undisturbed.status(name)["phase"]
            assert len(world.status(name)["attempts"]) == len(undisturbed.status(name)["attempts"])
        assert sorted(event_reasons(world)) == sorted(event_reasons(undisturbed)), f"killed at {number}"


ANY_REASON = st.sampled_from([Reason.COMPLETED, *VERDICTS])


@settings(max_examples=60, deadline=None)
@example(reasons=[Reason.COMPLETED], kills=[19], limit=0, lost={1, 4})
@example(reasons=[Reason.SOURCE_UNREACHABLE, Reason.COMPLETED, Reason.PLAN_INVALID], kills=[31], limit=2, lost={9})
@given(
    reasons=st.lists(ANY_REASON, min_size=1, max_size=8),
    kills=st.lists(st.integers(1, 60), max_size=6),
    limit=st.integers(0, 3),
    lost=st.sets(st.integers(1, 40), max_size=3),
)
def test_when_the_faults_stop_every_run_ends(
    reasons: list[Reason], kills: list[int], limit: int, lost: set[int]
) -> None:
    """Operators die, attempts fail in any way, pods are deleted: in the end all is settled, and the statuses are true."""
    world = World(ends_with(*reasons, Reason.COMPLETED))
    world.apply("first", backoffLimit=limit)
    world.apply("second", backoffLimit=limit)
    for number in kills:
        client = Client(world, killer(number))
        try:
            for tick in range(20):
                finished(one_round(client))
                world.tick()
                if tick in lost:
                    lose_a_pod(world)
        except Killed:
            continue
    to_rest(world)
    assert_settled(world)


def lose_a_pod(world: World) -> None:
    """A node drain: the pod is gone, its Job fails."""
    for path in [path for path in world.objects if "/pods/" in path]:
        del world.objects[path]
        job = path.replace("/api/v1/", "/apis/batch/v1/").replace("/pods/", "/jobs/").removesuffix("-x")
        if job in world.objects and not world.objects[job].get("status"):
            world.change(job, status={"conditions": [{"type": "Failed", "status": "True"}]})


def unfinished_jobs(world: World) -> int:
    """Jobs that may be dumping."""
    return sum(1 for job in world.in_(JOBS) if not job.get("status", {}).get("conditions"))


@pytest.mark.parametrize("seed", range(150))
def test_two_operators_never_have_two_jobs_of_one_database(seed: int) -> None:
    """0 and 1: an operator makes one request. 2: the first dies and starts anew. 3: a second passes."""
    turns = random.Random(seed).choices(range(4), weights=(40, 40, 1, 8), k=400)
    world = two_runs(ends_with(Reason.SOURCE_UNREACHABLE, Reason.COMPLETED))
    operators = [Operator(world), Operator(world)]
    for turn in turns:
        match turn:
            case 2:
                operators[0].kill()
            case 3:
                world.tick()
            case _:
                operators[turn].step()
        assert unfinished_jobs(world) <= 1
    for operator in operators:
        operator.kill()
    to_rest(world)
    assert_settled(world)
    assert len(world.bundles) == 2


@pytest.mark.parametrize("holder", ["", "..", ".", "first/status", "../../../../api/v1/namespaces/shop"])
def test_what_can_not_be_a_name_is_never_put_into_a_path(holder: str) -> None:
    assert finished(Cluster(cast("Any", None)).backups.read("shop", holder)) is None
    assert finished(Cluster(cast("Any", None)).pods.read_claim("shop", holder)) is None


def test_a_runner_that_failed_with_the_reason_of_a_success_did_not_complete_the_run() -> None:
    world = World()
    world.apply("night", backoffLimit=0)
    client = Client(world)
    false_success = result(run_uid="", outcome=Outcome.FAILED)
    while world.status("night").get("phase") != "Failed":
        rounds(client, 1)
        for job in world.in_(JOBS):
            end_pod(world, job, false_success)
    assert world.status("night")["reason"] == "ResultMissing"
    assert "its outcome is Failed" in world.status("night")["message"]


def end_pod(world: World, job: Any, said: BackupResult) -> None:
    """With these words, and Job and pod as failed as an exit code makes them."""
    path = f"{PODS}/{job['metadata']['name']}-x"
    if path in world.objects:
        words = as_termination_message(said.model_copy(update={"run_uid": job["metadata"]["labels"][labels.RUN_UID]}))
        state = {"terminated": {"exitCode": 1, "reason": "Error", "message": words}}
        world.change(path, status={"phase": "Failed", "containerStatuses": [{"name": "runner", "state": state}]})
        condition = {"type": "Failed", "status": "True", "lastTransitionTime": world.now.isoformat()}
        world.change(f"{JOBS}/{job['metadata']['name']}", status={"conditions": [condition]})


def test_a_spec_of_another_release_fails_before_it_is_accepted() -> None:
    world = World()
    world.apply("night", encryption={"gpg": {}})
    to_rest(world)
    status = world.status("night")
    assert (status["phase"], status["reason"]) == ("Failed", "SpecInvalid")
    assert status["message"].startswith("spec.encryption does not fit this operator's release (")
    assert world.in_(JOBS) == []
    assert event_reasons(world) == ["SpecInvalid"]


def test_what_kept_its_pod_from_running_stands_in_the_end_of_a_run_whose_deadline_took_the_pod() -> None:
    world, client = World(), None
    world.apply("night")
    why = "0/2 nodes are available: 2 Insufficient memory."
    for _ in range(30):
        client = client or Client(world)
        finished(one_round(client))
        for job in world.in_(JOBS):
            keep_pending(world, job, why)
        world.now += timedelta(seconds=10)
    assert (
        world.status("night")["attempts"][0]["obstacle"]
        == f"No node can take pod {world.in_(PODS)[0]['metadata']['name']}: {why}"
    )
    [job] = world.in_(JOBS)
    del world.objects[f"{PODS}/{job['metadata']['name']}-x"]
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "DeadlineExceeded",
        "lastTransitionTime": world.now.isoformat(),
    }
    world.change(f"{JOBS}/{job['metadata']['name']}", status={"conditions": [condition]})
    to_rest(world)
    assert world.status("night")["reason"] == "DeadlineExceeded"
    assert why in world.status("night")["message"]


def keep_pending(world: World, job: Any, why: str) -> None:
    """A pod that no node takes."""
    path = f"{PODS}/{job['metadata']['name']}-x"
    if path not in world.objects:
        found = {"labels": job["metadata"]["labels"] | {"batch.kubernetes.io/job-name": job["metadata"]["name"]}}
        world.put(PODS, path.rpartition("/")[2], {"metadata": found, "spec": {}})
        scheduled = {"type": "PodScheduled", "status": "False", "message": why}
        world.change(path, status={"phase": "Pending", "conditions": [scheduled]})
