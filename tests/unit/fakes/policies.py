"""The admission policy of a world: it is installed, removed and replaced, and can be made up for by an approval."""

from datetime import timedelta
from typing import Any

from quotenode_backup.domain.owner import Key
from quotenode_backup.manifests import labels
from quotenode_backup.reconcile.admission import TAKES_EFFECT
from tests.unit.fakes.lives import finished, reconciler
from tests.unit.fakes.world import BINDINGS, POLICIES, RUNS, Client, World

POLICY = "backups"


def later(world: World, by: timedelta = TAKES_EFFECT) -> None:
    world.now += by


def enforced() -> World:
    """A world with a policy that is in effect."""
    world = World()
    world.enforce(POLICY)
    later(world)
    return world


def withdrawn(world: World) -> None:
    for path in (POLICIES, BINDINGS):
        del world.objects[f"{path}/{POLICY}"]


def renewed(world: World) -> str:
    """The release is installed again, and its policy is in effect. Returns the policy's UID."""
    withdrawn(world)
    later(world)
    uid = world.enforce(POLICY)
    later(world)
    return uid


def schedule(world: World, client: Client) -> dict[str, Any]:
    """The schedule's status after two passes."""
    finished(reconciler(world, client).reconcile(Key("QuoteNodeBackup", "shop", "nightly")))
    finished(reconciler(world, client).reconcile(Key("QuoteNodeBackup", "shop", "nightly")))
    return world.status("nightly")


def edited(world: World, name: str, **spec: Any) -> None:
    item = world.objects[f"{RUNS}/{name}"]
    meta = item["metadata"] | {"generation": item["metadata"].get("generation", 1) + 1}
    world.change(f"{RUNS}/{name}", metadata=meta, spec=item["spec"] | spec)


def approve(world: World, name: str, policy: str) -> None:
    meta = world.objects[f"{RUNS}/{name}"]["metadata"]
    annotations = meta.get("annotations", {}) | {labels.APPROVED: policy}
    world.change(f"{RUNS}/{name}", metadata=meta | {"annotations": annotations})
