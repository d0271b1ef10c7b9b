"""Stopping an application deletes no data: a stop that would is refused while everything is still up."""

from collections.abc import Callable
from typing import Any

import pytest

from quotenode_backup.cluster.errors import Refused
from quotenode_backup.domain.reasons import Reason
from tests.unit.fakes.lives import (
    GOES_WELL,
    assert_settled,
    ends_with,
    event_reasons,
    rounds_until,
    to_rest,
)
from tests.unit.fakes.stateful_world import STATEFUL_SETS, StatefulWorld
from tests.unit.fakes.world import CLAIMS, Client, Killed, Script

WORKLOADS = [{"kind": "Deployment", "name": "backend"}, {"kind": "StatefulSet", "name": "store"}]
FILES = [{"name": "data", "claimName": "data-store-0"}]


def store_world(
    script: Script = GOES_WELL,
    when_scaled: str = "Retain",
    *,
    ephemeral: bool = False,
    templates: tuple[str, ...] = ("data",),
    **spec: Any,
) -> StatefulWorld:
    """A Deployment that shares the claim `files`, a StatefulSet of two pods, and a backup of the first pod's claim."""
    world = StatefulWorld(script)
    world.put_claim("files")
    world.deploy("backend", 3)
    world.ephemeral |= {"store"} if ephemeral else set()
    world.stateful("store", 2, when_scaled, templates)
    world.apply("night", **({"mode": "Offline", "application": {"workloads": WORKLOADS}, "files": FILES} | spec))
    return world


def refused(world: StatefulWorld, reason: str = "WorkloadDeletesData") -> str:
    """Lets the run fail for this reason, with nothing stopped. Returns the run's message."""
    client = to_rest(world)
    status = world.status("night")
    assert (status["phase"], status["reason"]) == ("Failed", reason)
    assert not [write for write in client.writes if "/scale" in write]
    assert event_reasons(world) == [reason]
    assert_settled(world)
    return str(status["message"])


@pytest.mark.parametrize("files", [FILES, []], ids=["its claim is backed up", "its claim is not backed up"])
def test_a_stateful_set_that_deletes_its_claims_when_scaled_is_not_stopped(files: object) -> None:
    world = store_world(when_scaled="Delete", files=files)
    assert refused(world) == (
        "StatefulSet store deletes its claims when it is scaled down, so it is not stopped: "
        "set its persistentVolumeClaimRetentionPolicy.whenScaled to Retain, or use mode Online"
    )


def test_a_stateful_set_that_keeps_its_claims_is_stopped_and_started() -> None:
    world = store_world()
    before = world.claim_uid("data-store-0")
    to_rest(world)
    assert world.status("night")["phase"] == "Completed"
    assert set(world.served_during_dump) == {0}
    assert (world.replicas("store"), world.claim_uid("data-store-0")) == (2, before)
    assert_settled(world)


def test_without_claims_of_its_own_there_is_nothing_that_a_stateful_set_could_delete() -> None:
    world = store_world(when_scaled="Delete", templates=(), files=[])
    to_rest(world)
    assert world.status("night")["phase"] == "Completed"
    assert set(world.served_during_dump) == {0}


def test_a_policy_that_this_release_does_not_know_is_taken_for_the_worst() -> None:
    assert "StatefulSet store deletes its claims" in refused(store_world(when_scaled="Archive"))


def test_a_stateful_set_that_is_down_already_loses_nothing() -> None:
    world = store_world(files=[])
    world.change(f"{STATEFUL_SETS}/store/scale", spec={"replicas": 0})
    world.control()
    world.set_when_scaled("store", "Delete")
    to_rest(world)
    assert world.status("night")["phase"] == "Completed"
    assert world.claim_uid("data-store-0")


def test_a_stateful_set_that_is_being_deleted_is_not_stopped() -> None:
    world = store_world()
    world.mark_deleted(f"{STATEFUL_SETS}/store")
    assert refused(world, "WorkloadMissing").startswith("StatefulSet store is being deleted, so it is not stopped")


@pytest.mark.parametrize("claim", ["files", "data-store-0", "data-store-1"])
def test_a_deleted_claim_that_waits_for_its_last_pod_keeps_its_pods(claim: str) -> None:
    world = store_world()
    world.mark_deleted(f"{CLAIMS}/{claim}")
    assert refused(world).startswith(
        f"PersistentVolumeClaim {claim} has been deleted and exists only as long as pods mount it, so they are not stopped"
    )
    assert world.claim_uid(claim)


@pytest.mark.parametrize("claim", ["bundles", "pdfs"])
def test_a_deleted_claim_that_only_the_backup_names_stops_nothing_either(claim: str) -> None:
    """No new pod can mount the claim any more, not even the backup's, so the application would be down for nothing."""
    world = store_world(files=[*FILES, {"name": "pdfs", "claimName": "pdfs"}])
    world.put_claim("pdfs")
    world.put_pod("reader", {}, ["bundles", "pdfs"])
    world.mark_deleted(f"{CLAIMS}/{claim}")
    assert refused(world).startswith(f"PersistentVolumeClaim {claim} has been deleted")


def test_a_pods_own_claim_that_the_backup_names_keeps_its_pod() -> None:
    world = store_world(ephemeral=True, files=[{"name": "data", "claimName": "store-1-scratch"}], pod={"runAsUser": 1})
    assert refused(world) == (
        "PersistentVolumeClaim store-1-scratch belongs to pod store-1 and is deleted with it, so the pod is not stopped: "
        "keep the data in a claim that no pod owns, or use mode Online"
    )


def test_a_pods_own_claim_that_the_backup_does_not_name_may_be_deleted_as_at_any_restart() -> None:
    world = store_world(ephemeral=True)
    to_rest(world)
    assert world.status("night")["phase"] == "Completed"


def test_an_online_backup_checks_no_workload_and_is_not_refused() -> None:
    asked: list[str] = []
    world = store_world(when_scaled="Delete", mode="Online", application=None)
    to_rest(world, Client(world, lambda _, path: asked.append(path)))
    assert world.status("night")["phase"] == "Completed"
    assert not [path for path in asked if STATEFUL_SETS in path]


def test_the_claims_are_checked_before_the_stop_is_announced_recorded_and_made_and_at_no_other_time() -> None:
    requests: list[str] = []
    world = store_world(ends_with(Reason.SOURCE_UNREACHABLE, Reason.COMPLETED))
    to_rest(world, Client(world, lambda _, request: requests.append(request)))
    asked = [number for number, request in enumerate(requests) if request == f"{STATEFUL_SETS}/store"]
    stop = requests.index(f"PATCH {STATEFUL_SETS}/store/scale")
    assert len(asked) == 3  # before it is announced, before it is written down, before it is stopped
    assert not [request for request in requests[asked[-1] : stop] if request.startswith(("POST ", "PUT ", "PATCH "))]


@pytest.mark.parametrize("hidden", [f"{STATEFUL_SETS}/store", f"{CLAIMS}/data-store-1"])
def test_an_operator_that_may_not_read_a_claim_or_its_pods_stops_nothing(hidden: str) -> None:
    world = store_world()

    def refuse(moment: str, request: str) -> None:
        if moment == "read" and request == hidden:
            raise Refused(f"GET {hidden}: forbidden (403)")

    client = to_rest(world, Client(world, refuse))
    assert world.status("night")["reason"] == "WorkloadNotScaled"
    assert world.status("night")["message"] == (
        "The operator can't see whether stopping Deployment backend and StatefulSet store would delete data, so nothing is"
        " stopped: "
        f"GET {hidden}: forbidden (403). Allow the operator to read it, or use mode Online"
    )
    assert not [write for write in client.writes if "/scale" in write]
    assert_settled(world)


Interrupt = Callable[[str, str], None]


def at_request(number: int, world: StatefulWorld, act: Callable[[], None]) -> Interrupt:
    """Lets the cluster's controllers work before every request, and calls `act` at the request of this number."""
    seen = 0

    def interrupt(_: str, __: str) -> None:
        nonlocal seen
        world.control()
        seen += 1
        if seen == number:
            act()

    return interrupt


def requests_of_a_life(world: StatefulWorld) -> int:
    count = 0

    def note(_: str, __: str) -> None:
        nonlocal count
        count += 1

    to_rest(world, Client(world, note))
    return count


def lives_disturbed_at_each_request(
    made: Callable[[], StatefulWorld], act: Callable[[StatefulWorld], None]
) -> list[str]:
    """How the runs ended. After each of these lives the claim must be the same as before, and the application serve."""
    endings = []
    for number in range(1, requests_of_a_life(made()) + 1):
        world = made()
        before = world.claim_uid("data-store-0"), world.claim_uid("data-store-1")
        try:
            to_rest(world, Client(world, at_request(number, world, lambda world=world: act(world))))  # type: ignore[misc]
        except Killed:
            to_rest(world, Client(world, at_request(0, world, lambda: None)))
        after = world.claim_uid("data-store-0"), world.claim_uid("data-store-1")
        assert after == before, f"lost when disturbed at request {number}"
        assert (world.replicas("backend"), world.replicas("store")) == (3, 2), number
        assert_settled(world)
        endings.append(world.status("night")["reason"])
    return endings


def die(_: StatefulWorld) -> None:
    raise Killed


def start_to_delete(world: StatefulWorld) -> None:
    world.set_when_scaled("store", "Delete")


def test_killed_at_each_request_the_operator_never_costs_a_claim_that_would_be_deleted() -> None:
    endings = lives_disturbed_at_each_request(lambda: store_world(when_scaled="Delete"), die)
    assert set(endings) == {"WorkloadDeletesData"}


def test_a_policy_that_is_changed_at_any_request_never_costs_a_claim() -> None:
    """Not even between the last read and the scale-down, which fails if the version is not the one that was read."""
    endings = lives_disturbed_at_each_request(store_world, start_to_delete)
    assert set(endings) == {"WorkloadDeletesData", "Completed"}


def serves_between_attempts(world: StatefulWorld) -> bool:
    return bool(world.status("night").get("attempts")) and world.replicas("store") > 0


def test_a_policy_that_is_changed_while_the_application_serves_between_two_attempts_never_costs_a_claim() -> None:
    """Another namespace had the database's lock, so the application was started again in between."""
    world = store_world(ends_with(Reason.LOCK_BUSY, Reason.COMPLETED))
    client = Client(world)
    rounds_until(client, lambda: serves_between_attempts(world))
    before = world.claim_uid("data-store-0")
    start_to_delete(world)
    to_rest(world, client)
    assert world.status("night")["reason"] == "WorkloadDeletesData"
    assert (world.claim_uid("data-store-0"), world.replicas("store")) == (before, 2)
    assert_settled(world)
