"""Events: one per transition, with a name that is a function of what happened, so that telling it twice makes one."""

from datetime import datetime
from typing import Any

from quotenode_backup.api import API_VERSION
from quotenode_backup.api.backup import KIND
from quotenode_backup.domain.naming import event_name
from quotenode_backup.manifests import labels

NOTE_LIMIT = 1024
"""Bytes in UTF-8: the API server counts those."""


def event(
    *,
    namespace: str,
    run_name: str,
    run_uid: str,
    reason: str,
    message: str,
    occurrence: int,
    about: str = "",
    warning: bool,
    reporter: str,
    now: datetime,
) -> dict[str, Any]:
    """`occurrence` tells transitions with the same reason apart, such as two attempts; `about` those of the run from those of its row."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "namespace": namespace,
            "name": event_name(run_uid, f"{reason}{about}", occurrence),
            "labels": {labels.MANAGED_BY: labels.MANAGER},
        },
        "eventTime": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        "reportingController": "backup.quotenode.io/operator",
        "reportingInstance": reporter[:128],
        "action": "Backup",
        "reason": reason,
        "type": "Warning" if warning else "Normal",
        "note": message.encode()[:NOTE_LIMIT].decode(errors="ignore"),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": namespace,
            "name": run_name,
            "uid": run_uid,
        },
    }
