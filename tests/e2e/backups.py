"""QuoteNodeBackups as a test makes and reads them."""

from typing import Any

from tests.e2e.kubectl import Json, Namespace
from tests.e2e.pods import a_claim
from tests.e2e.waiting import eventually

RUN = "backup.quotenode.io/run"
STEP = "backup.quotenode.io/step"
PASSWORD = "change-me-please"
"""Of the stand-in's role quotenode."""


def a_backup(name: str, **changes: Any) -> Json:
    """A backup of the stand-in. `changes` go into the spec: a dict is merged, anything else replaces, None removes."""
    spec = {
        "database": {
            "host": "quotenode-db",
            "name": "quotenode",
            "credentialsSecretRef": {"name": "quotenode-db"},
            "sslMode": "Require",
        },
        "files": [
            {"name": "uploads", "claimName": "quotenode-files", "subPath": "uploads"},
            {"name": "pdfs", "claimName": "quotenode-files", "subPath": "pdfs"},
        ],
        "storage": {"local": {"claimName": "quotenode-backups"}},
        "pod": {"fsGroup": 1000},
    }
    return {
        "apiVersion": "backup.quotenode.io/v1beta1",
        "kind": "QuoteNodeBackup",
        "metadata": {"name": name},
        "spec": merged(spec, changes),
    }


def a_login(password: str = PASSWORD) -> Json:
    """The database's Secret."""
    secret: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "quotenode-db"}}
    return secret | {"stringData": {"username": "quotenode", "password": password}}


def furnish(namespace: Namespace) -> None:
    """What a backup needs in a namespace of its own: the database's Secret, and a claim for the bundles."""
    namespace.apply(a_login(), a_claim("bundles", "64Mi"))


def merged(base: Json, changes: Json) -> Json:
    result = {key: value for key, value in base.items() if changes.get(key, ...) is not None}
    for key, value in changes.items():
        if value is None:
            continue
        old = base.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def status(namespace: Namespace, name: str) -> Json:
    body = namespace.get("quotenodebackup", name)
    assert body is not None, f"QuoteNodeBackup {name} is gone"
    found: Json = body.get("status", {})
    return found


def finished(namespace: Namespace, name: str, within: float) -> Json:
    """The status of a run that has ended, well or not."""

    def ended() -> Json | None:
        seen = status(namespace, name)
        return seen if seen.get("phase") in {"Completed", "Failed"} else None

    try:
        return eventually(ended, f"{name} has ended", within)
    except AssertionError as late:
        raise AssertionError(f"{late}; its status: {status(namespace, name)}") from None


def completed(namespace: Namespace, name: str, within: float = 120) -> Json:
    ended = finished(namespace, name, within)
    assert ended["phase"] == "Completed", f"{name}: {ended['reason']}: {ended['message']}"
    return ended


def failed(namespace: Namespace, name: str, reason: str, within: float, *mentioned: str) -> Json:
    """The status of a run that failed for this very reason, in a sentence that mentions these things."""
    ended = finished(namespace, name, within)
    assert (ended["phase"], ended["reason"]) == ("Failed", reason), f"{name}: {ended['reason']}: {ended['message']}"
    for thing in mentioned:
        assert thing in ended["message"], f"{thing!r} is not in: {ended['message']}"
    return ended


def killed_for_its_memory(namespace: Namespace, name: str, within: float) -> Json:
    """The status of a run that failed so. Now and then the node's runtime loses the cause, and the pod does not name it."""
    finished(namespace, name, within)
    last = max(pods(namespace, name), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    told = last["status"]["containerStatuses"][0]["state"]["terminated"]["reason"]
    assert told in {"OOMKilled", "Error"}
    reason = "OOMKilled" if told == "OOMKilled" else "PodLost"
    return failed(namespace, name, reason, within, "spec.pod.resources.limits.memory")


def condition(seen: Json, kind: str) -> Json:
    """A condition of a status; empty when it has none of this type."""
    return next((c for c in seen.get("conditions", []) if c["type"] == kind), {})


def jobs(namespace: Namespace, name: str) -> list[Json]:
    """Those of its attempts."""
    return namespace.items("jobs", f"{RUN}={name},{STEP}=backup")


def pods(namespace: Namespace, name: str) -> list[Json]:
    return namespace.items("pods", f"{RUN}={name},{STEP}=backup")


def running_pod(namespace: Namespace, name: str, within: float = 60) -> Json:
    """The pod of a run, as soon as its runner runs."""

    def found() -> Json | None:
        return next((pod for pod in pods(namespace, name) if pod["status"].get("phase") == "Running"), None)

    return eventually(found, f"the pod of {name} runs", within)


def lock_is_free(namespace: Namespace) -> bool:
    return all(not lease["spec"].get("holderIdentity") for lease in namespace.items("leases", _OURS))


_OURS = "app.kubernetes.io/managed-by=quotenode-backup-operator"
