"""A run is settled, and the resync passes it over, exactly when a pass over it has nothing to do."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.cluster.backup_parsing import is_settled
from quotenode_backup.domain.owner import Key
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from tests.unit.fakes.lives import ends_with, finished, reconciler, to_rest
from tests.unit.fakes.world import RUNS, Client, Json, World

NIGHT = Key("QuoteNodeBackup", "shop", "night")
UNKNOWN = {"status": "Unknown"}
ENDS = st.sampled_from([Reason.COMPLETED, Reason.CREDENTIALS_REFUSED])


def ended(end: Reason) -> World:
    """A run that has ended, with everything that follows it done."""
    world = World(ends_with(end))
    world.deploy("backend", 2)
    world.apply("night", auditLog="Enabled")
    to_rest(world)
    return world


def with_condition(run: Json, kind: str, **changes: str) -> None:
    for condition in run["status"]["conditions"]:
        if condition["type"] == kind:
            condition |= changes


def without_status(run: Json) -> None:
    run["status"] = {}


def stopped(run: Json) -> None:
    workload = {"kind": "Deployment", "name": "backend", "uid": "gone", "replicas": 2}
    run["status"] |= {"stopped": {"workloads": [workload], "userId": 1000}}


CHANGES: dict[str, Any] = {
    "the row is owed": lambda run: with_condition(run, "AuditLogged", **UNKNOWN),
    "the row was given up": lambda run: with_condition(run, "AuditLogged", status="False", reason="AuditFailed"),
    "the bundle was pruned": lambda run: with_condition(run, "LocalBundlePresent", status="False", reason="Pruned"),
    "the mark is lost": lambda run: run["metadata"]["annotations"].pop(labels.FINISHED),
    "the status is lost": without_status,
    "its bundle is to go with it": lambda run: run["spec"].update(deletionPolicy="Delete"),
    "it has a finalizer": lambda run: run["metadata"].update(finalizers=[labels.FINALIZER]),
    "it is on its way out": lambda run: run["metadata"].update(
        finalizers=[labels.FINALIZER], deletionTimestamp="2026-03-01T02:00:00+00:00"
    ),
    "something is still stopped": stopped,
}


@given(end=ENDS, changes=st.lists(st.sampled_from(sorted(CHANGES)), max_size=3, unique=True))
def test_a_run_is_settled_exactly_when_a_pass_over_it_writes_nothing(end: Reason, changes: list[str]) -> None:
    world = ended(end)
    run = world.objects[f"{RUNS}/night"]
    for change in changes:
        if run.get("status"):
            CHANGES[change](run)
    settled, client = is_settled(run), Client(world)
    result = finished(reconciler(world, client).reconcile(NIGHT))
    assert settled == (not client.writes and result.requeue_after is None), (changes, client.writes, result)
