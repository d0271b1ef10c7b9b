"""What is on a claim: looked at by a pod that has it mounted."""

import uuid

from tests.e2e.kubectl import Json, Namespace
from tests.e2e.waiting import eventually

END = "end-of-answer"


def files_in(namespace: Namespace, claim: str) -> list[str]:
    """The paths of all files below the claim's root, sorted."""
    return sorted(run_on(namespace, claim, "find . -type f -printf '%P\\n'").splitlines())


def run_on(namespace: Namespace, claim: str, script: str, *, user: int = 1000) -> str:
    """What a shell script prints that runs in the claim's root.

    `kubectl exec` loses its connection now and then, and with it what was said, and calls that a success (kubernetes#137404). So the pod
    keeps the answer, and it is fetched until it is whole.
    """
    pod = _looker(namespace, claim, user)
    answer = f"/tmp/{uuid.uuid4().hex}"
    namespace.kubectl("exec", pod, "--", "sh", "-euc", f"(cd /claim; {script}\n) > {answer}; echo {END} >> {answer}")

    def fetched() -> str:
        said = namespace.kubectl("exec", pod, "--", "cat", answer)
        return said if said.endswith(f"{END}\n") else ""

    return eventually(fetched, "the answer of a script has come whole", 60).removesuffix(f"{END}\n")


def _looker(namespace: Namespace, claim: str, user: int) -> str:
    """One pod for each claim and user, made when first needed. It goes with the namespace."""
    name = f"look-{claim}-{user}"
    if namespace.get("pod", name) is None:
        namespace.apply(_pod(name, claim, user))
    namespace.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
    return name


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
