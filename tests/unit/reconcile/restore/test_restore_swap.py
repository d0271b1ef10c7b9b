"""The middle of a restore: the application is down, and nobody may start it before it is known which data is live."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from quotenode_backup.cluster.errors import Refused, Unavailable
from quotenode_backup.domain.reasons import Reason
from tests.unit.fakes.lives import event_reasons, finished, one_round, rounds, rounds_until, to_rest
from tests.unit.fakes.restores import (
    RESTORES,
    assert_restored,
    assert_serving,
    assert_unchanged,
    ended,
    ends,
    holding,
    jobs_of,
    status,
    steps,
    uid,
    until_a_job,
    until_ended,
    with_backup,
)
from tests.unit.fakes.world import JOBS, LEASES, PODS, RUNS, Client, World


def test_a_swap_that_is_taken_back_lets_the_application_serve_before_the_next_one() -> None:
    world = with_backup(ends(swap=[Reason.SESSION_IN_THE_WAY]))
    client = until_a_job(world, "swap")
    rounds_until(client, lambda: world.replicas("backend") == 2)
    assert world.restores.live == "old"
    to_rest(world, client)
    assert_restored(world)
    assert len(world.restores.served_during_swap) == 2


def test_a_busy_lock_at_the_swap_lets_the_application_serve_and_is_no_failure() -> None:
    world = with_backup(ends(swap=[Reason.LOCK_BUSY] * 3), backoffLimit=0)
    to_rest(world)
    assert_restored(world)
    assert status(world).get("failures", 0) == 0


def test_a_copy_that_is_lost_is_loaded_again_while_the_application_serves() -> None:
    world = with_backup(ends(swap=[Reason.NOT_LOADED]))
    client = until_a_job(world, "swap")
    rounds_until(client, lambda: len(jobs_of(world, "load")) == 2)
    assert world.replicas("backend") == 2
    to_rest(world, client)
    assert_restored(world)
    assert steps(world) == ["backup", "verify", "load", "swap", "load", "swap", "expire"]


def test_nothing_is_started_until_it_is_known_which_data_is_live() -> None:
    world = with_backup(ends(swap=[Reason.SWAP_UNDECIDED] * 4))
    client = Client(world)
    while len(world.restores.served_during_swap) < 5:
        finished(one_round(client))
        world.tick()
        if world.restores.live != "old" and "pointOfNoReturn" not in status(world):
            assert world.application_pods() == 0
    to_rest(world, client)
    assert_restored(world)
    assert status(world).get("failures", 0) == 0


def test_a_server_that_is_away_for_a_day_does_not_fill_the_namespace_with_jobs() -> None:
    world = with_backup(ends(swap=[Reason.SWAP_UNDECIDED] * 9))
    client = until_a_job(world, "swap")
    rounds_until(client, lambda: len(world.restores.served_during_swap) == 4)
    world.now += timedelta(hours=1)
    rounds_until(client, lambda: len(world.restores.served_during_swap) == 9)
    assert len(jobs_of(world, "swap")) <= 6


def test_a_job_that_somebody_deletes_in_mid_swap_is_not_created_again_but_looked_after_by_the_next() -> None:
    world = with_backup()
    client = until_a_job(world, "swap")
    world.tick()
    name = jobs_of(world, "swap")[0]["metadata"]["name"]
    del world.objects[f"{JOBS}/{name}"], world.objects[f"{PODS}/{name}-x"]
    rounds(client, 2)
    assert world.replicas("backend") == 0
    assert status(world)["reason"] == "SwapUndecided"
    to_rest(world, client)
    assert_restored(world)
    assert steps(world).count("swap") == 2


def test_a_pod_that_never_starts_keeps_the_application_down_for_minutes_and_no_longer() -> None:
    world = with_backup()
    client = until_a_job(world, "swap")
    began = world.now
    while world.replicas("backend") == 0:
        finished(one_round(client))
        hold_image(world)
        world.now += timedelta(seconds=10)
    assert timedelta(minutes=5) < world.now - began < timedelta(minutes=8)
    to_rest(world, client)
    assert_unchanged(world)
    assert status(world)["reason"] == "ImagePull"


def hold_image(world: World) -> None:
    """The image of a swap's pod can't be pulled."""
    for job in jobs_of(world, "swap"):
        name = job["metadata"]["name"]
        if f"{PODS}/{name}-x" not in world.objects:
            pod_labels = job["metadata"]["labels"] | {"batch.kubernetes.io/job-name": name}
            world.put(PODS, f"{name}-x", {"metadata": {"labels": pod_labels}, "spec": {"nodeName": "worker"}})
        waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
        state = [{"name": "runner", "state": waiting}]
        world.change(f"{PODS}/{name}-x", status={"phase": "Pending", "containerStatuses": state})


def refusing_swaps(answer: Exception, while_: Callable[[], bool]) -> Callable[[str, str], None]:
    """The API server answers this when a Job is created while the application is down."""

    def interrupt(moment: str, request: str) -> None:
        if moment == "before" and request == f"POST {JOBS}" and while_():
            raise answer

    return interrupt


def test_a_job_that_the_cluster_refuses_lets_the_application_serve_on_the_old_data() -> None:
    world = with_backup()
    down = lambda: world.replicas("backend") == 0  # noqa: E731
    client = Client(world, refusing_swaps(Refused("exceeded quota: jobs (403)"), down))
    to_rest(world, client)
    assert_unchanged(world)
    assert status(world)["reason"] == "PodRejected"
    assert "exceeded quota: jobs (403). Raise the quota" in status(world)["message"]
    assert "swap" not in steps(world)


@pytest.mark.parametrize("answer", [Refused("exceeded quota (403)"), Unavailable("failed calling webhook (500)")])
def test_a_job_that_the_cluster_refuses_for_a_while_is_created_then(answer: Exception) -> None:
    world = with_backup()
    left = [answer] * 3

    def is_refused() -> bool:
        return world.replicas("backend") == 0 and bool(left) and left.pop() is not None

    to_rest(world, Client(world, refusing_swaps(answer, is_refused)))
    assert_restored(world)


def test_while_nobody_knows_which_data_is_live_a_refusal_starts_nothing() -> None:
    world = with_backup(ends(swap=[Reason.SWAP_UNDECIDED]))
    until_a_job(world, "swap")
    refused = [True]
    client = Client(world, refusing_swaps(Refused("exceeded quota (403)"), lambda: refused[0]))
    rounds(client, 100)
    assert world.restores.live == uid(world)
    assert (world.replicas("backend"), status(world)["phase"]) == (0, "Running")
    refused[0] = False
    to_rest(world, client)
    assert_restored(world)


def test_a_backup_that_is_gone_in_mid_swap_is_asked_for_and_may_be_another_of_the_same_database() -> None:
    world = with_backup(ends(swap=[Reason.SWAP_UNDECIDED]))
    client = until_a_job(world, "swap")
    spec = world.objects[f"{RUNS}/first"]["spec"]
    world.delete("first")
    rounds(client, 20)
    assert "since the swap is in the middle and needs it: create it again" in status(world)["message"]
    assert world.replicas("backend") == 0
    world.put(RUNS, "first", {"spec": spec})
    to_rest(world, client)
    assert_restored(world)


def test_a_backup_that_is_gone_once_its_data_is_live_is_not_missed() -> None:
    check = {"workloads": [{"name": "backend"}], "healthCheck": {"url": "http://backend/health"}}
    world = with_backup(application=check)
    client = until_a_job(world, "swap")
    world.delete("first")
    until_ended(world, client=client)
    assert_serving(world)
    assert ended(world) == ("Completed", "Completed")
    assert holding(world)["Healthy"] == "True"


def test_a_release_that_cannot_read_a_restore_in_mid_swap_starts_nothing() -> None:
    world = with_backup(ends(swap=[Reason.SWAP_UNDECIDED]))
    client = until_a_job(world, "swap")
    world.objects[f"{RESTORES}/again"]["spec"]["mode"] = "FreshInstall"
    rounds(client, 30)
    assert (world.replicas("backend"), status(world)["phase"]) == (0, "Running")
    assert "its swap is in the middle: install the release again that began it" in status(world)["message"]
    del world.objects[f"{RESTORES}/again"]["spec"]["mode"]
    to_rest(world, client)
    assert_restored(world)


def test_a_release_that_cannot_read_a_restore_before_its_swap_fails_it_and_the_application_serves() -> None:
    world = with_backup()
    client = until_a_job(world, "load")
    world.objects[f"{RESTORES}/again"]["spec"]["mode"] = "FreshInstall"
    until_ended(world, client=client)
    assert_serving(world)
    assert ended(world) == ("Failed", "SpecInvalid")


def test_a_lease_that_is_lost_in_mid_swap_is_taken_again() -> None:
    world = with_backup()
    client = until_a_job(world, "swap")
    for lease in world.in_(LEASES):
        del world.objects[f"{LEASES}/{lease['metadata']['name']}"]
    to_rest(world, client)
    assert_restored(world)


def test_a_success_that_does_not_name_the_new_side_is_looked_after_by_the_next_attempt() -> None:
    world = with_backup(ends(swap=[Reason.RESULT_MISSING]))
    to_rest(world)
    assert holding(world)["Restored"] == "True"
    assert "ApplicationStarted" in event_reasons(world)
