"""Small pods and claims that stand in for somebody else's."""

from tests.e2e.kubectl import Json
from tests.e2e.volumes import CLASS

STAND_IN = "localhost/quotenode-standin:dev"


def a_claim(name: str, size: str = "16Mi") -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": CLASS,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
    }


def a_pod(
    name: str,
    *,
    claim: str | None = None,
    user: int = 1000,
    node: str | None = None,
    image: str = STAND_IN,
    labels: dict[str, str] | None = None,
    port: int | None = None,
) -> Json:
    """A pod that only is there, with the claim at /claim if there is one. Another image than the stand-in's runs its own program,
    and with a `port` the pod is ready when it answers there."""
    secured = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container: Json = {"name": "main", "image": image, "imagePullPolicy": "Never", "securityContext": secured}
    if image == STAND_IN:
        container["command"] = ["sleep", "infinity"]
    if port:
        container["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    volumes = []
    if claim:
        container["volumeMounts"] = [{"name": "claim", "mountPath": "/claim"}]
        volumes = [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}]
    context = {"runAsUser": user, "runAsGroup": user, "fsGroup": user, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": context | ({"runAsNonRoot": True} if user else {}),
            "nodeSelector": {"kubernetes.io/hostname": node} if node else {},
            # Only when it is to be there: its claim would be on the control plane too, where no backup can follow it.
            "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}] if node else [],
            "containers": [container],
            "volumes": volumes,
        },
    }
