"""Worlds with a completed backup, its application and a restore of it, and what must hold of them in the end."""

from collections.abc import Callable
from typing import Any

from quotenode_backup.contract.plans import Plan
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from tests.unit.fakes.lives import finished, one_round, rounds, rounds_until, to_rest
from tests.unit.fakes.world import JOBS, LEASES, Client, Json, World

RESTORES = "/apis/backup.quotenode.io/v1beta1/namespaces/shop/quotenoderestores"
Script = Callable[[str, Plan], Reason]
APPLICATION = {"workloads": [{"name": "backend"}]}
KEPT_SECONDS = 60


def ends(**reasons: list[Reason]) -> Script:
    """Each step's Jobs end with these reasons, one after the other, and then well."""
    left = {step: list(found) for step, found in reasons.items()}

    def script(step: str, _: Plan) -> Reason:
        return left[step].pop(0) if left.get(step) else Reason.COMPLETED

    return script


def goes_well(*_: object) -> Reason:
    return Reason.COMPLETED


def with_backup(script: Script = goes_well, **spec: Any) -> World:
    """A world with a completed backup `first`, its application, and a restore `again` of it."""
    world = World()
    world.deploy("backend", 2)
    world.apply("first", application=APPLICATION)
    to_rest(world)
    world.restores.script = script
    restore(world, "again", **spec)
    return world


def restore(world: World, name: str, **spec: Any) -> None:
    whole = {"source": {"backupName": "first"}, "keepReplacedSeconds": KEPT_SECONDS} | spec
    world.put(RESTORES, name, {"spec": whole})


def status(world: World, name: str = "again") -> Json:
    return dict(world.objects[f"{RESTORES}/{name}"].get("status", {}))


def ended(world: World, name: str = "again") -> tuple[str, str]:
    """Phase and reason."""
    found = status(world, name)
    return str(found["phase"]), str(found["reason"])


def holding(world: World, name: str = "again") -> dict[str, str]:
    return {one["type"]: one["status"] for one in status(world, name)["conditions"]}


def uid(world: World, name: str = "again") -> str:
    return str(world.objects[f"{RESTORES}/{name}"]["metadata"]["uid"])


def steps(world: World) -> list[str]:
    """The steps of all Jobs, in the order of their creation."""
    return [path.split("-")[1] for path in world.created if path.startswith(JOBS)]


def jobs_of(world: World, step: str) -> list[Json]:
    return [job for job in world.in_(JOBS) if job["metadata"]["labels"][labels.STEP] == step]


def until_a_job(world: World, step: str, client: Client | None = None) -> Client:
    """Rounds until there is a Job of this step, which has not ended."""
    client = client or Client(world)
    while not any(not job.get("status") for job in jobs_of(world, step)):
        finished(one_round(client))
        if not jobs_of(world, step):
            world.tick()
    return client


def until_ended(world: World, name: str = "again", client: Client | None = None) -> Client:
    """Rounds until the restore has ended and has given everything back."""
    client = client or Client(world)
    rounds_until(client, lambda: status(world, name).get("phase") in {"Completed", "Failed", "Recreated"})
    rounds(client, 3)
    return client


def holders(world: World) -> list[str]:
    return [lease["spec"]["holderIdentity"] for lease in world.in_(LEASES) if lease["spec"]["holderIdentity"]]


def assert_serving(world: World) -> None:
    """Whatever has happened: the application runs, nothing has swapped under it, no lock is held, and no Job was created twice."""
    assert_up(world)
    made = [path for path in world.created if path.startswith(JOBS)]
    assert len(made) == len(set(made))


def assert_up(world: World) -> None:
    """The same, when somebody has deleted Jobs. Only those of swaps are not created again."""
    assert world.replicas("backend") == 2
    assert holders(world) == []
    assert set(world.restores.served_during_swap) <= {0}
    swaps = [path for path in world.created if path.startswith(f"{JOBS}/qnb-swap-")]
    assert len(swaps) == len(set(swaps))


def assert_clean(world: World) -> None:
    """Nothing of any restore is left, and nothing keeps its resource."""
    assert (world.restores.loaded, world.restores.kept) == (set(), set())
    assert not [one for one in world.in_(RESTORES) if one["metadata"].get("finalizers")]
    assert all("ttlSecondsAfterFinished" in job["spec"] for job in world.in_(JOBS))


def assert_restored(world: World) -> None:
    assert_serving(world)
    assert_clean(world)
    assert world.restores.live == uid(world)
    assert status(world)["phase"] == "Completed"
    assert (holding(world)["Restored"], holding(world)["ReplacedDataKept"]) == ("True", "False")


def assert_unchanged(world: World) -> None:
    """The restore has failed, and the data is what it was."""
    assert_serving(world)
    assert_clean(world)
    assert world.restores.live == "old"
    assert status(world)["phase"] == "Failed"
    assert holding(world)["Restored"] == "False"
