"""The QuoteNodeBackup that a schedule creates for a slot or a trigger."""

from datetime import datetime
from typing import Any

from quotenode_backup.api import API_VERSION
from quotenode_backup.api.backup import KIND, SCHEDULE_FIELDS, BackupSpec, Retention
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.domain.owner import Owner
from quotenode_backup.manifests import labels


def run_spec(schedule: BackupSpec) -> BackupSpec:
    """The spec of a schedule's runs. Retention is always set, since a run without it keeps every bundle."""
    nothing = dict.fromkeys(SCHEDULE_FIELDS)
    return schedule.model_copy(update={**nothing, "retention": schedule.retention or Retention()})


def scheduled_run(
    *,
    schedule: Owner,
    name: str,
    spec: BackupSpec,
    by: InitiatedBy,
    slot: datetime | None,
) -> dict[str, Any]:
    """The run has no owner reference, since the deletion of a schedule must not delete the record of its backups."""
    copied = run_spec(spec).model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "namespace": schedule.namespace,
            "name": name,
            "labels": {
                labels.MANAGED_BY: labels.MANAGER,
                labels.SCHEDULE: schedule.name,
                labels.SCHEDULE_UID: schedule.uid,
                labels.INITIATED_BY: by,
            },
            **({"annotations": {labels.SLOT: f"{slot:%Y-%m-%dT%H:%M:%SZ}"}} if slot else {}),
        },
        "spec": copied,
    }
