"""Hands on a node: what a test does there as root, through the container engine that runs it."""

from functools import cache

from tests.cluster import engine as engines
from tests.cluster.cache import Cache, default_root
from tests.e2e.kubectl import LABEL, Json, Namespace, kubectl
from tests.e2e.waiting import eventually

WORKER = "quotenode-worker"


def on_node(script: str, node: str = WORKER) -> str:
    """What a shell script prints that runs on the node."""
    return _engine()("exec", node, "sh", "-euc", script)


@cache
def _engine() -> engines.Engine:
    """To find out which one works takes longer than what is asked of it."""
    return engines.choose(Cache(default_root()))


def local_volume(namespace: Namespace, claim: str, path: str, node: str = WORKER) -> None:
    """A claim of this name whose volume is a folder of the node."""
    namespace.apply(*a_local_volume(namespace, claim, path, node))


def a_local_volume(namespace: Namespace, claim: str, path: str, node: str = WORKER) -> tuple[Json, Json]:
    """The volume and its claim."""
    name = f"{namespace.name}-{claim}"
    capacity = {"storage": "64Mi"}
    where = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    volume: Json = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {LABEL: namespace.run_id}},
        "spec": {
            "capacity": capacity,
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "by-hand",
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}},
        },
    }
    claimed: Json = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "by-hand",
            "volumeName": name,
            "resources": {"requests": capacity},
        },
    }
    return volume, claimed


def forget_volume(namespace: Namespace, claim: str) -> None:
    """The volume and its claim, when no pod has it any more."""
    namespace.delete("pvc", claim, options=["--wait=false"])
    kubectl("delete", "pv", f"{namespace.name}-{claim}", "--ignore-not-found", "--wait=false")


def unmounted(path: str) -> None:
    """Unmount as soon as nothing uses it."""

    def tried() -> bool:
        return "gone" in on_node(f"umount {path} 2>/dev/null || true; mountpoint -q {path} || echo gone")

    eventually(tried, f"{path} is unmounted", 60)
