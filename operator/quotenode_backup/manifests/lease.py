"""The lock of one database: a Lease without a duration, since it must not expire while its holder may be at work."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quotenode_backup.domain.owner import Owner
from quotenode_backup.manifests import labels


@dataclass(frozen=True, slots=True)
class LockState:
    """The contents of a Lease."""

    holder: Owner | None
    """None: the lock is free."""
    target: str
    """The database, for people to read."""
    stopped: str
    """What the holder stopped, as JSON; empty when it stopped nothing."""
    break_for: str
    """UID of the holder whose lock an administrator allows to be broken."""
    transitions: int


def lease(namespace: str, name: str, state: LockState, now: datetime) -> dict[str, Any]:
    chosen = {
        labels.HOLDER: state.holder.name if state.holder else "",
        labels.HOLDER_KIND: state.holder.kind if state.holder else "",
        labels.STOPPED: state.stopped,
        labels.BREAK_LOCK: state.break_for,
    }
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {labels.MANAGED_BY: labels.MANAGER},
            "annotations": {labels.TARGET: state.target} | {key: text for key, text in chosen.items() if text},
        },
        "spec": {
            "holderIdentity": state.holder.uid if state.holder else "",
            "leaseTransitions": state.transitions,
            "acquireTime": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        },
    }
