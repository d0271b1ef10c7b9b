"""Volumes that only one node can have: the pod goes where the files are, as the user who can read them."""

from collections.abc import Callable

import pytest

from tests.e2e.backups import a_backup, completed, pods
from tests.e2e.claims import files_in
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.pods import a_claim
from tests.e2e.standin.quotenode import QuoteNode

NODE = "quotenode-control-plane"
TAINT = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}
USER = 2345


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode]) -> Namespace:
    namespace = watched("placement")
    deploy(namespace)
    return namespace


@pytest.fixture(scope="module")
def keeper(namespace: Namespace) -> str:
    """A pod of another user on the tainted node that has written a file only it can read. The backup can't guess any of this."""
    namespace.apply(a_claim("far-files"), a_claim("far-backups"), pod_with("far-files"))
    namespace.kubectl("wait", "pod/keeper", "--for=condition=Ready", "--timeout=60s")
    return "keeper"


def pod_with(claim_name: str) -> Json:
    script = "umask 077; echo content > /data/private.txt; touch /tmp/ready; exec sleep infinity"
    container = {
        "name": "keeper",
        "image": "localhost/quotenode-standin:dev",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
        "securityContext": {
            "runAsUser": USER,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "tolerations": [TAINT],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "keeper"}, "spec": spec}


def backup_of(name: str, files: str, backups: str, **pod: object) -> Json:
    return a_backup(
        name,
        files=[{"name": "data", "claimName": files}],
        storage={"local": {"claimName": backups}},
        pod={"fsGroup": None, **pod},
    )


@pytest.mark.usefixtures("keeper")
def test_the_pod_follows_the_files_to_a_tainted_node_as_the_user_who_can_read_them(namespace: Namespace) -> None:
    namespace.apply(backup_of("followed", "far-files", "far-backups"))
    completed(namespace, "followed")

    [pod] = pods(namespace, "followed")

    assert pod["spec"]["nodeName"] == NODE
    assert TAINT in pod["spec"]["tolerations"]
    assert pod["spec"]["securityContext"]["runAsUser"] == USER


def test_files_that_nobody_has_mounted_are_read_as_the_user_that_the_backup_names(namespace: Namespace) -> None:
    namespace.apply(a_claim("idle-files"), a_claim("idle-backups"))
    namespace.apply(backup_of("idle", "idle-files", "idle-backups", runAsUser=1000, labels={"network": "database"}))
    path = completed(namespace, "idle")["destinations"][0]["path"]

    [pod] = pods(namespace, "idle")

    assert pod["spec"]["securityContext"]["runAsUser"] == 1000
    assert pod["metadata"]["labels"]["network"] == "database"
    assert path in files_in(namespace, "idle-backups")
