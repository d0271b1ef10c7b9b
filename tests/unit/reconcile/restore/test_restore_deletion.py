"""A restore that is deleted at any moment: the application serves, the data is whole, and nothing of it stays."""

import pytest

from quotenode_backup.cluster.startup import release_finalizers
from quotenode_backup.domain.reasons import Reason
from tests.unit.fakes.lives import event_reasons, finished, one_round, rounds, to_rest
from tests.unit.fakes.restores import (
    RESTORES,
    assert_serving,
    ends,
    holding,
    jobs_of,
    restore,
    status,
    steps,
    uid,
    until_a_job,
    until_ended,
    with_backup,
)
from tests.unit.fakes.world import JOBS, NAMESPACE, Client, World

AGAIN = f"{RESTORES}/again"


def assert_gone(world: World) -> None:
    assert_serving(world)
    assert AGAIN not in world.objects
    assert (world.restores.loaded, world.restores.kept) == (set(), set())
    assert not [job for job in world.in_(JOBS) if not job.get("status")]


@pytest.mark.parametrize("script", [ends, lambda: ends(swap=[Reason.SWAP_UNDECIDED])], ids=["well", "undecided"])
@pytest.mark.parametrize("after", range(22))
def test_deleted_after_any_round_it_leaves_whole_data_and_nothing_else(after: int, script: object) -> None:
    world = with_backup(script())  # type: ignore[operator]
    client = Client(world)
    restored = uid(world)
    for _ in range(after):
        finished(one_round(client))
        world.tick()
    if AGAIN in world.objects:
        world.delete("again", RESTORES)
    to_rest(world, client)
    assert_gone(world)
    assert world.restores.live == ("old" if "swap" not in steps(world) else restored)


def test_deleted_during_the_load_it_swaps_nothing_and_removes_the_copy() -> None:
    world = with_backup()
    client = until_a_job(world, "load")
    world.delete("again", RESTORES)
    to_rest(world, client)
    assert_gone(world)
    assert world.restores.live == "old"
    assert steps(world) == ["backup", "verify", "load", "expire"]


def test_deleted_in_the_middle_of_its_swap_it_stays_until_the_application_serves() -> None:
    world = with_backup(ends(swap=[Reason.SWAP_UNDECIDED]))
    client = until_a_job(world, "swap")
    restored = uid(world)
    world.delete("again", RESTORES)
    rounds(client, 10)
    assert (AGAIN in world.objects, world.replicas("backend")) == (True, 0)
    to_rest(world, client)
    assert_gone(world)
    assert world.restores.live == restored


def test_deleted_while_its_replaced_data_is_kept_it_removes_that_first() -> None:
    world = with_backup(keepReplacedSeconds=86400)
    client = until_ended(world)
    world.delete("again", RESTORES)
    to_rest(world, client)
    assert_gone(world)
    assert steps(world)[-1] == "expire"


def test_a_server_that_is_gone_does_not_hold_up_a_deletion() -> None:
    world = with_backup(ends(expire=[Reason.SOURCE_UNREACHABLE] * 99), keepReplacedSeconds=86400)
    client = until_ended(world)
    world.delete("again", RESTORES)
    to_rest(world, client)
    assert AGAIN not in world.objects
    assert len(jobs_of(world, "expire")) == 3
    assert "SourceUnreachable" in event_reasons(world)


def test_a_server_that_is_away_at_the_expiry_is_asked_until_it_answers() -> None:
    world = with_backup(ends(expire=[Reason.SOURCE_UNREACHABLE] * 4))
    client = until_ended(world)
    to_rest(world, client)
    assert holding(world)["ReplacedDataKept"] == "False"
    assert world.restores.kept == set()


def test_a_backup_that_is_gone_does_not_hold_up_the_end_of_a_restore() -> None:
    world = with_backup()
    client = until_ended(world)
    world.delete("first")
    to_rest(world, client)
    assert_serving(world)
    [kept] = [one for one in status(world)["conditions"] if one["type"] == "ReplacedDataKept"]
    assert "What is left is removed by the next restore of this target" in kept["message"]


def terminate(world: World) -> None:
    world.objects[NAMESPACE] = {"metadata": {"name": "shop", "deletionTimestamp": world.now.isoformat()}}


@pytest.mark.parametrize("step", ["load", "swap"])
def test_a_namespace_that_is_deleted_is_let_go(step: str) -> None:
    world = with_backup(ends(swap=[Reason.SWAP_UNDECIDED]))
    client = until_a_job(world, step)
    terminate(world)
    world.delete("again", RESTORES)
    rounds(client, 2)
    assert AGAIN not in world.objects


def test_a_namespace_that_is_deleted_while_no_operator_may_serve_it_is_let_go() -> None:
    world = with_backup(keepReplacedSeconds=86400)
    until_ended(world)
    terminate(world)
    world.delete("again", RESTORES)
    finished(release_finalizers(Client(world), ["shop"]))
    assert AGAIN not in world.objects


def test_a_resource_whose_finalizer_somebody_took_off_in_mid_swap_starts_nothing_under_the_swap() -> None:
    world = with_backup()
    client = until_a_job(world, "swap")
    world.objects[AGAIN]["metadata"]["finalizers"] = []
    world.delete("again", RESTORES)
    while not world.restores.served_during_swap:
        finished(one_round(client))
        assert world.replicas("backend") == 0
        world.tick()
    to_rest(world, client)
    assert_serving(world)


def test_the_next_restore_of_the_name_waits_until_the_earlier_one_has_given_everything_back() -> None:
    world = with_backup()
    client = until_a_job(world, "swap")
    world.objects[AGAIN]["metadata"]["finalizers"] = []
    world.delete("again", RESTORES)
    restore(world, "again")
    finished(one_round(client))
    assert status(world)["reason"] == "WaitingForTarget"
    to_rest(world, client)
    assert status(world)["phase"] == "Completed"
    assert_serving(world)
