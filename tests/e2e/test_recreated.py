"""A namespace whose backups are deleted and applied again from what was saved: nothing runs, nothing is lost, nothing is stopped."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.aftermath import BUNDLES, bundles_in
from tests.e2e.backups import a_backup, completed, condition, failed, lock_is_free, status
from tests.e2e.claims import run_on
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

GOOD = ("one-0", "one-1", "offline")
OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "finalizers")
"""Fields of the metadata that the API server, or the operator, makes anew."""
SAME_AS_BEFORE = ("phase", "startTime", "completionTime", "sizeBytes", "checksum", "destinations", "components")


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("recreated")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(namespace)


@pytest.fixture(scope="module", autouse=True)
def own_operator(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    log = tmp_path_factory.mktemp("recreated") / "operator.log"
    with OperatorProcess(namespace.name, log, QN_RESYNC_SECONDS="5") as process:
        yield process


def small(name: str, **changes: object) -> Json:
    return a_backup(name, files=None, pod={"fsGroup": 1000, "runAsUser": 1000}, retention={"keepLast": 7}, **changes)


@pytest.fixture(scope="module")
def past(namespace: Namespace, quotenode: QuoteNode) -> Json:
    """What was saved, after some backups, one of them offline, one failed, and a trigger had run."""
    workloads = {"workloads": [{"kind": "Deployment", "name": name} for name in ("backend", "backup-worker")]}
    namespace.apply(small("one-0"), small("one-1"), small("offline", mode="Offline", application=workloads))
    namespace.apply(small("bad", database={"name": "no-such"}))
    namespace.apply(small("nightly", schedule="0 0 1 1 *", suspend=True, trigger="before the import"))
    for name in GOOD:
        completed(namespace, name, 240)
    failed(namespace, "bad", "DatabaseNotFound", 60)
    eventually(lambda: len(completed_runs(namespace)) == 4, "the trigger's run is completed", 120)
    eventually(lambda: lock_is_free(namespace), "all is at rest", 60)
    quotenode.kubectl("rollout", "status", "deployment/backend", "--timeout=120s", timeout=130)
    eventually(lambda: all(map(is_marked, backups(namespace))), "each has its annotation", 30)
    saved: Json = json.loads(namespace.kubectl("get", "quotenodebackups", "--output=json"))
    return saved


def backups(namespace: Namespace) -> list[Json]:
    return namespace.items("quotenodebackups")


def is_marked(body: Json) -> bool:
    key = "last-trigger" if "schedule" in body["spec"] else "finished"
    return f"backup.quotenode.io/{key}" in body["metadata"].get("annotations", {})


def completed_runs(namespace: Namespace) -> list[str]:
    return sorted(run["metadata"]["name"] for run in backups(namespace) if phase(run) == "Completed")


def phase(body: Json) -> str:
    return str(body.get("status", {}).get("phase"))


def without_status(saved: Json, names: set[str] | None = None) -> Json:
    """As in `jq 'del(.items[].status, …)'`."""
    items = []
    for item in saved["items"]:
        meta = {key: value for key, value in item["metadata"].items() if key not in OF_THE_SERVER}
        if names is None or meta["name"] in names:
            items.append({key: item[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": meta})
    return {"apiVersion": "v1", "kind": "List", "items": items}


def known(saved: Json) -> dict[str, Json]:
    """What each run says of itself."""
    runs = [item for item in saved["items"] if "schedule" not in item["spec"]]
    return {run["metadata"]["name"]: {key: run["status"].get(key) for key in SAME_AS_BEFORE} for run in runs}


def known_now(namespace: Namespace) -> dict[str, Json]:
    return known({"items": [body | {"status": body.get("status", {})} for body in backups(namespace)]})


def generations(namespace: Namespace) -> list[int]:
    """Each time that a Deployment is scaled, this counts on."""
    found = [namespace.get("deployment", name) for name in ("backend", "backup-worker")]
    return [one["metadata"]["generation"] for one in found if one]


def apply_again(namespace: Namespace, manifests: Json) -> None:
    namespace.delete("quotenodebackups", "--all")
    namespace.kubectl("apply", "--filename=-", stdin=json.dumps(manifests))


def replace_by_force(namespace: Namespace, manifests: Json) -> None:
    namespace.kubectl("replace", "--force", "--filename=-", stdin=json.dumps(manifests))


@pytest.mark.parametrize("restore", [apply_again, replace_by_force])
def test_what_had_finished_does_not_run_again(
    namespace: Namespace, past: Json, restore: Callable[[Namespace, Json], None]
) -> None:
    before, untouched = bundles_in(namespace, BUNDLES), generations(namespace)
    uids = {run["metadata"]["uid"] for run in backups(namespace)}
    restore(namespace, without_status(past))
    assert not uids & {run["metadata"]["uid"] for run in backups(namespace)}
    eventually(lambda: known_now(namespace) == known(past), "each says again what it said", 180)
    eventually(lambda: status(namespace, "nightly").get("lastSuccessfulTime"), "the schedule knows them", 30)
    assert status(namespace, "nightly")["lastTrigger"] == "before the import"
    for name in GOOD:
        assert condition(status(namespace, name), "Verified")["status"] == "True"
        assert condition(status(namespace, name), "Recreated")["status"] == "True"
    assert "does not run a second time" in status(namespace, "bad")["message"]
    assert (bundles_in(namespace, BUNDLES), generations(namespace)) == (before, untouched)


def test_without_its_bundle_a_run_is_restored_and_not_completed(namespace: Namespace, past: Json) -> None:
    [path] = [place["path"] for place in status(namespace, "one-0")["destinations"]]
    run_on(namespace, BUNDLES, f"mv {path} {path}.moved")
    try:
        replace_by_force(namespace, without_status(past, {"one-0"}))

        def missing() -> bool:
            return condition(status(namespace, "one-0"), "LocalBundlePresent").get("reason") == "BundleMissing"

        eventually(missing, "its bundle was looked for", 120)
        seen = status(namespace, "one-0")
        assert (seen["phase"], condition(seen, "Complete")) == ("Recreated", {})
        assert path in condition(seen, "LocalBundlePresent")["message"]
    finally:
        run_on(namespace, BUNDLES, f"mv {path}.moved {path}")


def test_restored_into_a_namespace_without_the_claim_it_waits_for_it(
    past: Json, own_namespace: Callable[[str], Namespace], tmp_path: Path
) -> None:
    elsewhere = own_namespace("restored-elsewhere")
    manifests = without_status(past, {"one-1"})
    for item in manifests["items"]:
        del item["metadata"]["namespace"]
    elsewhere.apply(*manifests["items"])
    with OperatorProcess(elsewhere.name, tmp_path / "operator.log"):
        eventually(lambda: phase(backups(elsewhere)[0]) == "Recreated", "it is taken for history", 60)
        eventually(
            lambda: (
                f"{BUNDLES} does not exist" in condition(status(elsewhere, "one-1"), "LocalBundlePresent")["message"]
            ),
            "it says what it waits for",
            60,
        )
    assert elsewhere.items("jobs") == []
