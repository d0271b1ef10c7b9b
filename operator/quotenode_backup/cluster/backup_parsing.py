"""Parses a QuoteNodeBackup from the API server's JSON into a value of `objects`."""

from typing import Any

from quotenode_backup.api.backup import KIND, BackupSpec, DeletionPolicy
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.cluster.finished_marks import mark_of
from quotenode_backup.cluster.objects import (
    AnyBackup,
    BackupRun,
    Schedule,
    UnreadableRun,
    UnreadableSchedule,
)
from quotenode_backup.cluster.resource_parsing import common, is_at_rest, spec_of, target_in
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels

Json = dict[str, Any]


def backup_of(body: Json) -> AnyBackup:
    """Raises Unreadable when the status does not fit our types."""
    spec = spec_of(body, BackupSpec)
    if is_schedule(body):
        return _schedule_of(body, spec)
    fields = _common(body) | _of_run(body)
    return UnreadableRun(**fields, fault=spec) if isinstance(spec, str) else BackupRun(**fields, spec=spec)


def _schedule_of(body: Json, spec: BackupSpec | str) -> Schedule | UnreadableSchedule:
    if isinstance(spec, str):
        return UnreadableSchedule(**_common(body), fault=spec)
    annotations = body["metadata"].get("annotations") or {}
    return Schedule(**_common(body), spec=spec, last_trigger=annotations.get(labels.LAST_TRIGGER))


def _common(body: Json) -> Json:
    return common(body, KIND, BackupStatus, labels.FINALIZER)


def _of_run(body: Json) -> Json:
    found = body["metadata"].get("labels") or {}
    by_clock = found.get(labels.INITIATED_BY) == InitiatedBy.SCHEDULER
    return {
        "schedule": found.get(labels.SCHEDULE, ""),
        "schedule_uid": found.get(labels.SCHEDULE_UID, ""),
        "initiated_by": InitiatedBy.SCHEDULER if by_clock else InitiatedBy.ADMIN,
        "mark": mark_of(body),
    }


def is_schedule(item: Json) -> bool:
    return "schedule" in item.get("spec", {})


def is_settled(item: Json) -> bool:
    """Whether a pass over the run would have nothing to do."""
    wants_finalizer: bool = item.get("spec", {}).get("deletionPolicy") == DeletionPolicy.DELETE
    return is_at_rest(item) and wants_finalizer == (labels.FINALIZER in item["metadata"].get("finalizers", ()))


def target_of(item: Json) -> Target | None:
    """None when the spec names no database in a form that this release knows."""
    return target_in(item["metadata"]["namespace"], item.get("spec", {}).get("database", {}))


def is_in_storage(item: Json, run: BackupRun) -> bool:
    ours, theirs = run.spec.storage.local, item.get("spec", {}).get("storage", {}).get("local", {})
    return (theirs.get("claimName"), theirs.get("subPath", "")) == (ours.claim_name, ours.sub_path)
