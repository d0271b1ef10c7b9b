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
    *,
    namespace: str,
    name: str,
    target: str,
    holder: Holder,
    stopped: str,
    break_for: str,
    transitions: int,
    now: datetime,
) -> dict[str, Any]:
    """`target` is for people; `stopped` says what the holder stopped, empty when nothing; `break_for` is an admin's word, kept."""
    chosen = {labels.STOPPED: stopped, labels.BREAK_LOCK: break_for}
    notes = {labels.TARGET: target, labels.HOLDER: holder.name} | {key: text for key, text in chosen.items() if text}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {labels.MANAGED_BY: labels.MANAGER},
            "annotations": notes,
        },
        "spec": {
            "holderIdentity": holder.uid,
            "leaseTransitions": transitions,
            "acquireTime": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        },
    }
