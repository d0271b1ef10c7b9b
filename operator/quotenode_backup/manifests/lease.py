"""The lock of one database: a Lease without a duration, since no clock may take it away from a run."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quotenode_backup.manifests import labels


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock. Of a free one both are empty."""

    uid: str = ""
    name: str = ""


def lease(
    *, namespace: str, name: str, target: str, holder: Holder, stopped: str, transitions: int, now: datetime
) -> dict[str, Any]:
    """`target` is for people; `stopped` says what the holder stopped, empty when nothing."""
    notes = {labels.TARGET: target, labels.HOLDER: holder.name}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {labels.MANAGED_BY: labels.MANAGER},
            "annotations": notes | ({labels.STOPPED: stopped} if stopped else {}),
        },
        "spec": {
            "holderIdentity": holder.uid,
            "leaseTransitions": transitions,
            "acquireTime": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        },
    }
