"""Volumes of the cluster's usual class that are there before anybody asks.

The class makes each volume with a pod that makes a folder, which costs a small machine more than a second. A claim takes one of these
instead, for it is bound to what fits and exists; on another node than the worker, or when all are taken, the class makes one as ever.
"""

from tests.e2e.kubectl import Json, Namespace, kubectl
from tests.e2e.nodes import WORKER, on_node

COUNT = 100
LABEL = "quotenode.io/end-to-end"
ROOT = "/var/lib/qn-e2e-volumes"


def make(run_id: str) -> None:
    home = f"{ROOT}/{run_id}"
    on_node(f"for n in $(seq 1 {COUNT}); do mkdir -p {home}/$n; chmod 0777 {home}/$n; done")
    Namespace("default").apply(*(_volume(run_id, f"{home}/{number}", number) for number in range(1, COUNT + 1)))


def forget_earlier(run_id: str) -> None:
    kubectl("delete", "persistentvolumes", f"--selector={LABEL},{LABEL}!={run_id}", "--wait=false")
    # What a pod of that run still writes while it ends stays until the next time.
    on_node(f"mkdir -p {ROOT}; find {ROOT} -mindepth 1 -maxdepth 1 ! -name {run_id} -exec rm -rf {{}} + || true")


def _volume(run_id: str, path: str, number: int) -> Json:
    """Just as the class makes them, but that nothing removes it before the next run of the tests."""
    where = {"key": "kubernetes.io/hostname", "operator": "In", "values": [WORKER]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"e2e-{run_id}-{number}", "labels": {LABEL: run_id}},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "standard",
            "hostPath": {"path": path, "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}},
        },
    }
