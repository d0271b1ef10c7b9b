"""The lock of one database: a Lease without a duration, since no clock may take it away from a run."""

from datetime import datetime
from typing import Any

from quotenode_backup.manifests import labels


def lease(
    *, namespace: str, name: str, target: str, holder_uid: str, holder_name: str, transitions: int, now: datetime
) -> dict[str, Any]:
    """`target` is for people; `holder_uid` is empty when the lock is free."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {labels.MANAGED_BY: labels.MANAGER},
            "annotations": {labels.TARGET: target, labels.HOLDER: holder_name},
        },
        "spec": {
            "holderIdentity": holder_uid,
            "leaseTransitions": transitions,
            "acquireTime": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        },
    }
