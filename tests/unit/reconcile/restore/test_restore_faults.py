"""Restores with faults: operators that die, an API server that answers with errors, two operators, and rivals for the lock."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotenode_backup.cluster.errors import ApiError, Conflict, Refused, Unavailable
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from tests.unit.fakes.lives import (
    Operator,
    failing,
    finished,
    killed_everywhere,
    killer,
    one_round,
    rounds,
    rounds_until,
    to_rest,
)
from tests.unit.fakes.restores import (
    RESTORES,
    Script,
    assert_clean,
    assert_restored,
    assert_serving,
    assert_unchanged,
    assert_up,
    ended,
    ends,
    restore,
    status,
    steps,
    uid,
    until_a_job,
    until_ended,
    with_backup,
)
from tests.unit.fakes.world import DEPLOYMENTS, JOBS, Client, Killed, World

STORIES: dict[str, Callable[[], Script]] = {
    "well": ends,
    "a load fails": lambda: ends(load=[Reason.LOAD_FAILED]),
    "a swap is taken back": lambda: ends(swap=[Reason.SESSION_IN_THE_WAY]),
    "a swap is undecided": lambda: ends(swap=[Reason.SWAP_UNDECIDED]),
}


@pytest.mark.parametrize("story", STORIES)
def test_an_operator_that_dies_anywhere_restores_all_the_same(story: str) -> None:
    killed_everywhere(lambda: with_backup(STORIES[story]()), assert_restored, least=20)


@pytest.mark.parametrize(
    "script",
    [
        lambda: ends(verify=[Reason.BUNDLE_INVALID]),
        lambda: ends(load=[Reason.LOAD_FAILED] * 2),
        lambda: ends(swap=[Reason.PERMISSION_DENIED]),
    ],
    ids=["refused", "not loaded", "not swapped"],
)
def test_an_operator_that_dies_anywhere_leaves_what_a_failed_restore_found(script: Callable[[], Script]) -> None:
    killed_everywhere(lambda: with_backup(script()), assert_unchanged, least=9)


def restored_before() -> World:
    world = with_backup(keepReplacedSeconds=600)
    until_ended(world)
    restore(world, "back", source={"undoOf": "again"})
    return world


def test_an_operator_that_dies_anywhere_undoes_all_the_same() -> None:
    def check(world: World) -> None:
        assert_serving(world)
        assert_clean(world)
        assert world.restores.live == uid(world, "back")
        assert ended(world, "back") == ("Completed", "Completed")

    killed_everywhere(restored_before, check, least=15)


def deleted_in_mid_swap() -> World:
    world = with_backup(ends(swap=[Reason.SWAP_UNDECIDED]))
    until_a_job(world, "swap")
    world.delete("again", RESTORES)
    return world


def test_an_operator_that_dies_anywhere_ends_a_restore_that_is_deleted_in_mid_swap() -> None:
    def check(world: World) -> None:
        assert_serving(world)
        assert f"{RESTORES}/again" not in world.objects
        assert (world.restores.loaded, world.restores.kept) == (set(), set())

    killed_everywhere(deleted_in_mid_swap, check, least=8)


ANSWERS = [
    (Unavailable("the API server is away"), "before"),
    (Unavailable("the API server is away"), "after"),
    (Conflict("somebody else wrote it"), "before"),
    (Refused("forbidden (403)"), "before"),
]


@pytest.mark.parametrize(("answer", "moment"), ANSWERS, ids=["away", "answer lost", "conflict", "refused"])
def test_an_error_at_any_write_is_made_up_for(answer: ApiError, moment: str) -> None:
    writes = len(to_rest(with_backup()).world.created) * 4
    for number in range(1, writes):
        world = with_backup()
        to_rest(world, Client(world, failing(number, answer, moment)))
        assert_restored(world)


ANY = st.sampled_from([Reason.COMPLETED, Reason.LOAD_FAILED, Reason.POD_LOST, Reason.LOCK_BUSY, Reason.SWAP_UNDECIDED])
ENDS = st.fixed_dictionaries({step: st.lists(ANY, max_size=3) for step in ("verify", "load", "swap", "expire")})


@settings(max_examples=60, deadline=None)
@given(reasons=ENDS, kills=st.lists(st.integers(1, 60), max_size=5), lost=st.sets(st.integers(1, 60), max_size=3))
def test_when_the_faults_stop_the_data_is_whole_and_the_status_true(
    reasons: dict[str, list[Reason]], kills: list[int], lost: set[int]
) -> None:
    world = with_backup(ends(**reasons), backoffLimit=2)
    for number in kills:
        client = Client(world, killer(number))
        try:
            for tick in range(20):
                finished(one_round(client))
                world.tick()
                if tick in lost:
                    lose_a_job(world)
        except Killed:
            continue
    to_rest(world)
    assert_true(world)


def assert_true(world: World) -> None:
    assert_up(world)
    is_restored = world.restores.live == uid(world)
    assert (status(world)["phase"] == "Completed") == is_restored
    assert world.restores.loaded <= {uid(world)} if is_restored else world.restores.loaded == set()


def lose_a_job(world: World) -> None:
    """Somebody deletes every Job with its pod, whatever they are doing."""
    for job in world.in_(JOBS):
        name = job["metadata"]["name"]
        world.objects.pop(f"/api/v1/namespaces/shop/pods/{name}-x", None)
        del world.objects[f"{JOBS}/{name}"]


def at_work(world: World) -> list[str]:
    """The steps of Jobs that may be reading or writing the data, of all resources."""
    found = [job for job in world.in_(JOBS) if not job.get("status", {}).get("conditions")]
    labelled = [job["metadata"]["labels"][labels.STEP] for job in found]
    return [step for step in labelled if step in {"backup", "load", "swap", "health"}]


@pytest.mark.parametrize("seed", range(60))
def test_two_operators_never_have_two_jobs_at_the_data_of_one_database(seed: int) -> None:
    """0 and 1: an operator makes one request. 2: the first dies and starts anew. 3: a second passes."""
    turns = random.Random(seed).choices(range(4), weights=(40, 40, 1, 8), k=1200)
    world = with_backup(ends(load=[Reason.LOAD_FAILED], swap=[Reason.SWAP_UNDECIDED]))
    world.apply("second")
    operators = [Operator(world), Operator(world)]
    for turn in turns:
        match turn:
            case 2:
                operators[0].kill()
            case 3:
                world.tick()
            case _:
                operators[turn].step()
        assert len(at_work(world)) <= 1
    for operator in operators:
        operator.kill()
    to_rest(world)
    assert_restored(world)
    assert len(world.committed) == 2


def test_a_restore_goes_before_a_backup_that_waits() -> None:
    world = with_backup()
    world.apply("second")
    client = until_a_job(world, "load")
    assert "Waiting for restore again, which is restoring the same database" in world.status("second")["message"]
    to_rest(world, client)
    assert_restored(world)
    order = steps(world)
    assert order.index("swap") < len(order) - 1 - order[::-1].index("backup")


def test_a_restore_waits_for_the_backup_that_has_the_lock_and_names_it() -> None:
    world = with_backup()
    world.delete("again", RESTORES)
    world.apply("second")
    client = until_a_job(world, "backup")
    restore(world, "again")
    rounds_until(client, lambda: "Waiting for second" in status(world).get("message", ""))
    to_rest(world, client)
    assert_restored(world)


def test_a_dry_run_holds_up_no_backup() -> None:
    world = with_backup(dryRun=True)
    client = until_a_job(world, "verify")
    world.apply("second")
    finished(one_round(client))
    finished(one_round(client))
    assert status(world)["phase"] == "Running"
    assert world.status("second")["phase"] == "Running"
    to_rest(world, client)
    assert world.status("second")["phase"] == "Completed"


def test_two_restores_of_one_database_are_made_one_after_the_other() -> None:
    world = with_backup()
    restore(world, "later")
    client = until_a_job(world, "load")
    rounds(client, 2)
    assert "restore again" in status(world, "later")["message"]
    to_rest(world, client)
    assert_serving(world)
    assert_clean(world)
    assert world.restores.live == uid(world, "later")
    assert ended(world)[0] == ended(world, "later")[0] == "Completed"


def test_a_backup_that_waits_for_a_restore_starts_nothing_that_it_has_stopped() -> None:
    world = with_backup(ends(swap=[Reason.SWAP_UNDECIDED] * 3))
    client = until_a_job(world, "swap")
    world.apply("second", application={"workloads": [{"name": "backend"}]}, mode="Offline")
    rounds(client, 20)
    assert world.objects[f"{DEPLOYMENTS}/backend/scale"]["spec"]["replicas"] == 0
    to_rest(world, client)
    assert_serving(world)
    assert world.status("second")["phase"] == "Completed"
