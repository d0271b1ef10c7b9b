"""Volumes that are there before a story's claim asks for one.

The cluster's usual class makes each volume with a pod that makes a folder, which costs a small machine more than a second. A claim of the
stories' own class takes one of these instead, since it is bound to what fits and exists. On another node than the worker, or when all are
taken, the class makes one just as the usual one does. Claims of others, such as those of `make demo`, have the usual class: they never
get one of these volumes, which the next run of the tests removes with everything on them.
"""

from tests.e2e.kubectl import LABEL, Json, Namespace, kubectl
from tests.e2e.nodes import WORKER, on_node

COUNT = 100
CLASS = "quotenode-end-to-end"
ROOT = "/var/lib/qn-e2e-volumes"


def make_class() -> None:
    """Like the cluster's usual class, in all but its name."""
    body: Json = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": CLASS}}
    body |= {"provisioner": "rancher.io/local-path", "volumeBindingMode": "WaitForFirstConsumer"}
    Namespace("default").apply(body)


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
            "storageClassName": CLASS,
            "hostPath": {"path": path, "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}},
        },
    }
