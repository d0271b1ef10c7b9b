"""What is on a claim: looked at by a pod that has it mounted."""

from functools import partial

from tests.e2e.answers import answer
from tests.e2e.backups import condition
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.waiting import eventually


def files_in(namespace: Namespace, claim: str) -> list[str]:
    """The paths of all files below the claim's root, sorted."""
    return sorted(run_on(namespace, claim, "find . -type f -printf '%P\\n'").splitlines())


def run_on(namespace: Namespace, claim: str, script: str, *, user: int = 1000) -> str:
    """What a shell script prints that runs in the claim's root."""
    pod = _looker(namespace, claim, user)
    return answer(partial(namespace.kubectl, "exec", pod, "--"), f"cd /claim; {script}")


def _looker(namespace: Namespace, claim: str, user: int) -> str:
    """One pod for each claim and user, made when first needed. It goes with the namespace."""
    name = f"look-{claim}-{user}"
    if namespace.get("pod", name) is None:
        namespace.apply(_pod(name, claim, user))
    eventually(lambda: _is_ready(namespace.get("pod", name)), f"pod {name} is ready", 60)
    return name


def _is_ready(pod: Json | None) -> bool:
    return pod is not None and condition(pod["status"], "Ready").get("status") == "True"


def _pod(name: str, claim: str, user: int) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "quotenode-backup-operator-tests"}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "runAsGroup": user,
                "fsGroup": user,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "look",
                    "image": "localhost/quotenode-standin:dev",
                    "imagePullPolicy": "Never",
                    "command": ["sleep", "infinity"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
                }
            ],
            "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
