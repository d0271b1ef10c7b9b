"""Events: one for each transition. Its name follows from the transition, so that recording it twice makes one Event."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quotenode_backup.api import API_VERSION
from quotenode_backup.domain.naming import event_name
from quotenode_backup.domain.owner import Owner
from quotenode_backup.manifests import labels

NOTE_LIMIT = 1024
"""Bytes in UTF-8, which is what the API server counts."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An Event about a resource, before it is a manifest."""

    regarding: Owner
    reason: str
    message: str
    occurrence: int
    """Tells transitions with the same reason apart, such as two attempts or two slots."""
    warning: bool
    about: str = ""
    """Tells transitions with the same reason and occurrence apart, such as a run's own from those of its row."""


def event(record: EventRecord, reporter: str, now: datetime) -> dict[str, Any]:
    """`reporter`: the name of the operator's pod."""
    owner = record.regarding
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "namespace": owner.namespace,
            "name": event_name(owner.uid, f"{record.reason}{record.about}", record.occurrence),
            "labels": {labels.MANAGED_BY: labels.MANAGER},
        },
        "eventTime": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        "reportingController": "backup.quotenode.io/operator",
        "reportingInstance": reporter[:128],
        "action": "Backup",
        "reason": record.reason,
        "type": "Warning" if record.warning else "Normal",
        "note": record.message.encode()[:NOTE_LIMIT].decode(errors="ignore"),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": owner.kind,
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
        },
    }
