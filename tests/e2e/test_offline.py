"""Offline backups: the application has no connection to its database during the dump, and serves again whatever the end is."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.aftermath import no_lock_and_no_session
from tests.e2e.answers import answer
from tests.e2e.backups import a_backup, completed, failed
from tests.e2e.held import dump_held
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.pods import a_claim, a_pod
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

WORKLOADS = ("backend", "backup-worker")


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("offline")


@pytest.fixture(scope="module")
def operator_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("offline") / "operator.log"


@pytest.fixture
def own_operator(namespace: Namespace, operator_log: Path) -> Iterator[OperatorProcess]:
    with OperatorProcess(namespace.name, operator_log, QN_RESYNC_SECONDS="5") as process:
        yield process


@pytest.fixture
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    """Whole again before each story."""
    found = deploy(namespace)
    eventually(lambda: replicas(namespace) == [1, 1], "the application is up", 30)
    return found


def offline(name: str, **changes: object) -> Json:
    workloads = [{"kind": "Deployment", "name": name} for name in WORKLOADS]
    return a_backup(name, mode="Offline", application={"workloads": workloads}, **changes)


def replicas(namespace: Namespace) -> list[int]:
    found = [namespace.get("deployment", name) for name in WORKLOADS]
    return [one["spec"]["replicas"] for one in found if one]


def application_sessions(quotenode: QuoteNode) -> str:
    """Sessions that come from other pods and are not the backup's."""
    return quotenode.psql(
        "SELECT pid, application_name, query FROM pg_stat_activity WHERE datname = 'quotenode' AND client_addr IS NOT NULL"
        " AND application_name NOT LIKE 'quotenode-backup%' AND application_name <> 'pg_dump'"
    )


def assert_is_down(namespace: Namespace, quotenode: QuoteNode) -> None:
    assert replicas(namespace) == [0, 0]
    assert application_sessions(quotenode) == ""
    pods = namespace.items("pods", "app.kubernetes.io/name in (backend,backup-worker)")
    assert pods == []


def assert_serves(namespace: Namespace, quotenode: QuoteNode, wanted: tuple[int, ...] = (1, 1)) -> None:
    eventually(lambda: replicas(namespace) == list(wanted), "the application has its replicas back", 60)
    quotenode.kubectl("rollout", "status", "deployment/backend", "--timeout=120s", timeout=130)
    quotenode.create_offer("still selling")
    no_lock_and_no_session(namespace, quotenode)
    assert not [lease for lease in namespace.items("leases") if "stopped" in str(lease["metadata"]["annotations"])]


def test_it_is_down_during_the_dump_and_serves_after(
    namespace: Namespace, quotenode: QuoteNode, own_operator: OperatorProcess
) -> None:
    with dump_held(namespace, quotenode, offline("good")):
        assert_is_down(namespace, quotenode)
    completed(namespace, "good")
    assert_serves(namespace, quotenode)
    told = {event["reason"] for event in namespace.items("events.v1.events.k8s.io", fields="regarding.name=good")}
    assert {"StoppingApplication", "ApplicationStarted"} <= told


def test_after_a_failure_it_serves(namespace: Namespace, quotenode: QuoteNode, own_operator: OperatorProcess) -> None:
    namespace.apply(offline("no-database", database={"name": "not_there"}))
    failed(namespace, "no-database", "DatabaseNotFound", 90)
    assert_serves(namespace, quotenode)


def test_after_the_deadline_it_serves(
    namespace: Namespace, quotenode: QuoteNode, own_operator: OperatorProcess
) -> None:
    with dump_held(namespace, quotenode, offline("late", activeDeadlineSeconds=90)):
        failed(namespace, "late", "DeadlineExceeded", 120)
        eventually(
            lambda: replicas(namespace) == [1, 1], "it has its replicas back while the dump's session still waits", 30
        )
    assert_serves(namespace, quotenode)


def test_deleted_in_the_middle_it_serves(
    namespace: Namespace, quotenode: QuoteNode, own_operator: OperatorProcess
) -> None:
    with dump_held(namespace, quotenode, offline("deleted")):
        assert_is_down(namespace, quotenode)
        namespace.delete("quotenodebackup", "deleted", options=["--timeout=30s"])
        eventually(lambda: replicas(namespace) == [1, 1], "the application has its replicas back", 30)
    assert_serves(namespace, quotenode)


def test_deleted_while_the_operator_is_dead_it_serves_when_that_is_back(
    namespace: Namespace, quotenode: QuoteNode, tmp_path: Path
) -> None:
    first = OperatorProcess(namespace.name, tmp_path / "first.log")
    try:
        with dump_held(namespace, quotenode, offline("orphan")):
            first.kill()
            namespace.delete("quotenodebackup", "orphan", options=["--timeout=30s"])
            assert replicas(namespace) == [0, 0]
    finally:
        first.kill()
    with OperatorProcess(namespace.name, tmp_path / "second.log", QN_RESYNC_SECONDS="5"):
        assert_serves(namespace, quotenode)


def test_scaled_up_by_somebody_else_it_fails_and_both_serve(
    namespace: Namespace, quotenode: QuoteNode, own_operator: OperatorProcess
) -> None:
    with dump_held(namespace, quotenode, offline("disturbed")):
        namespace.kubectl("scale", "deployment/backend", "--replicas=2")
        failed(namespace, "disturbed", "WorkloadScaledUp", 60, "Deployment backend", "2")
        eventually(lambda: replicas(namespace) == [2, 1], "the other is back, and nobody's count is overwritten", 60)
    assert_serves(namespace, quotenode, (2, 1))


def test_a_workload_that_is_deleted_meanwhile_is_no_fault(
    namespace: Namespace, quotenode: QuoteNode, own_operator: OperatorProcess
) -> None:
    with dump_held(namespace, quotenode, offline("smaller")):
        namespace.delete("deployment", "backup-worker")
    completed(namespace, "smaller")
    assert_serves(namespace, quotenode, (1,))


def test_an_autoscaler_on_it_is_refused_before_anything_stops(
    namespace: Namespace, quotenode: QuoteNode, own_operator: OperatorProcess
) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "backend"}
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "backend"}}
    namespace.apply(scaler | {"spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2}})
    before = [pod["metadata"]["uid"] for pod in namespace.items("pods", "app.kubernetes.io/name=backend")]
    namespace.apply(offline("scaled"))
    ended = failed(namespace, "scaled", "WorkloadAutoscaled", 60, "Deployment backend", "mode Online")
    assert ended.get("attempts", []) == []
    namespace.delete("horizontalpodautoscaler", "backend")
    assert before == [pod["metadata"]["uid"] for pod in namespace.items("pods", "app.kubernetes.io/name=backend")]
    assert_serves(namespace, quotenode)


def test_an_online_backup_stops_nothing(
    namespace: Namespace, quotenode: QuoteNode, own_operator: OperatorProcess
) -> None:
    before = [pod["metadata"]["uid"] for pod in namespace.items("pods", "app.kubernetes.io/name=backend")]
    workloads = {"workloads": [{"kind": "Deployment", "name": "backend"}]}
    with dump_held(namespace, quotenode, a_backup("online", application=workloads)):
        assert replicas(namespace) == [1, 1]
    completed(namespace, "online")
    assert before == [pod["metadata"]["uid"] for pod in namespace.items("pods", "app.kubernetes.io/name=backend")]


STORE_PODS = "app.kubernetes.io/name=store"


def a_store(when_scaled: str) -> Json:
    """A StatefulSet whose one pod keeps a file on a claim of its own."""
    template = a_pod("store", labels={"app.kubernetes.io/name": "store"})
    container = template["spec"]["containers"][0]
    container["volumeMounts"] = [{"name": "data", "mountPath": "/claim"}]
    container["command"] = ["sh", "-c", "test -e /claim/order || echo precious > /claim/order; exec sleep infinity"]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "store"},
        "spec": {
            "replicas": 1,
            "serviceName": "store",
            "selector": {"matchLabels": template["metadata"]["labels"]},
            "template": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"]},
            "volumeClaimTemplates": [{key: a_claim("data")[key] for key in ("metadata", "spec")}],
            "persistentVolumeClaimRetentionPolicy": {"whenScaled": when_scaled, "whenDeleted": "Delete"},
        },
    }


@pytest.fixture
def store(namespace: Namespace, quotenode: QuoteNode) -> Iterator[Callable[[str], Json]]:
    """Makes the StatefulSet with this policy, and an offline backup of it. All of it is gone afterwards."""

    def made(when_scaled: str) -> Json:
        namespace.apply(a_store(when_scaled))
        namespace.kubectl("rollout", "status", "statefulset/store", "--timeout=120s", timeout=130)
        files = [{"name": "data", "claimName": "data-store-0"}]
        workloads = [{"kind": "StatefulSet", "name": "store"}]
        return a_backup("of-store", mode="Offline", application={"workloads": workloads}, files=files)

    yield made
    namespace.delete("quotenodebackup", "of-store", options=["--timeout=60s"])
    namespace.delete("statefulset", "store", options=["--timeout=60s"])
    namespace.delete("persistentvolumeclaim", "data-store-0", options=["--timeout=60s"])


def held_by_store(namespace: Namespace) -> tuple[list[str], str]:
    """The UIDs of claim and pods, and what is in the file."""
    claim = namespace.get("persistentvolumeclaim", "data-store-0")
    found = [claim, *namespace.items("pods", STORE_PODS)]
    precious = answer(partial(namespace.kubectl, "exec", "store-0", "--"), "cat /claim/order")
    return [one["metadata"]["uid"] for one in found if one], precious


def refused_with_all_still_there(namespace: Namespace, backup: Json, *mentioned: str) -> None:
    before = held_by_store(namespace)
    namespace.apply(backup)
    ended = failed(namespace, "of-store", "WorkloadDeletesData", 60, *mentioned)
    assert ended.get("attempts", []) == []
    assert held_by_store(namespace) == before
    run = namespace.get("quotenodebackup", "of-store")
    assert run is not None
    events = namespace.items("events.v1.events.k8s.io", fields=f"regarding.uid={run['metadata']['uid']}")
    assert [event["reason"] for event in events] == ["WorkloadDeletesData"]


def test_a_stateful_set_that_deletes_its_claims_when_scaled_is_never_down(
    namespace: Namespace, store: Callable[[str], Json], own_operator: OperatorProcess
) -> None:
    refused_with_all_still_there(namespace, store("Delete"), "StatefulSet store", "whenScaled to Retain", "mode Online")


def test_a_claim_that_is_deleted_as_soon_as_its_last_pod_ends_keeps_that_pod(
    namespace: Namespace, store: Callable[[str], Json], own_operator: OperatorProcess
) -> None:
    backup = store("Retain")
    namespace.delete("persistentvolumeclaim", "data-store-0", options=["--wait=false"])
    refused_with_all_still_there(namespace, backup, "PersistentVolumeClaim data-store-0 has been deleted", "copy")


def test_a_stateful_set_that_keeps_its_claims_comes_back_with_them(
    namespace: Namespace, store: Callable[[str], Json], own_operator: OperatorProcess
) -> None:
    backup = store("Retain")
    (claim, _), precious = held_by_store(namespace)
    namespace.apply(backup)
    completed(namespace, "of-store")
    eventually(lambda: namespace.items("pods", STORE_PODS), "it has its pod back", 30)
    namespace.kubectl("rollout", "status", "statefulset/store", "--timeout=120s", timeout=130)
    (claim_after, _), precious_after = held_by_store(namespace)
    assert (claim_after, precious_after) == (claim, precious)
