"""Parses a QuoteNodeBackup from the API server's JSON into a value of `objects`, and makes a status into a patch.

There can be thousands of QuoteNodeBackups, so what has to be known of all of them is read from the JSON without
parsing.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from quotenode_backup.api.backup import KIND, BackupSpec, DeletionPolicy
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.conditions import FINISHED
from quotenode_backup.api.run_status import RunStatus
from quotenode_backup.cluster.errors import Unreadable
from quotenode_backup.cluster.finished_marks import holding, mark_of
from quotenode_backup.cluster.objects import (
    AnyBackup,
    BackupRun,
    Schedule,
    UnreadableRun,
    UnreadableSchedule,
)
from quotenode_backup.cluster.parsing import time_of
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels

logger = logging.getLogger(__name__)

Json = dict[str, Any]


def backup_of(body: Json) -> AnyBackup:
    """Raises Unreadable when the status does not fit our types. Such a resource is left alone, since only the release
    that wrote its status knows what the status means.
    """
    spec = _spec_of(body)
    if is_schedule(body):
        return _schedule_of(body, spec)
    common = _common(body) | _of_run(body)
    return UnreadableRun(**common, fault=spec) if isinstance(spec, str) else BackupRun(**common, spec=spec)


def _schedule_of(body: Json, spec: BackupSpec | str) -> Schedule | UnreadableSchedule:
    if isinstance(spec, str):
        return UnreadableSchedule(**_common(body), fault=spec)
    annotations = body["metadata"].get("annotations") or {}
    return Schedule(**_common(body), spec=spec, last_trigger=annotations.get(labels.LAST_TRIGGER))


def _common(body: Json) -> Json:
    meta = body["metadata"]
    return {
        "owner": Owner(KIND, meta["namespace"], meta["name"], meta["uid"]),
        "resource_version": meta["resourceVersion"],
        "generation": meta.get("generation", 1),
        "created": time_of(meta["creationTimestamp"]),
        "deleting": "deletionTimestamp" in meta,
        "status": _status_of(body),
        "has_finalizer": labels.FINALIZER in meta.get("finalizers", ()),
        "approved": (meta.get("annotations") or {}).get(labels.APPROVED, ""),
    }


def _of_run(body: Json) -> Json:
    found = body["metadata"].get("labels") or {}
    by_clock = found.get(labels.INITIATED_BY) == InitiatedBy.SCHEDULER
    return {
        "schedule": found.get(labels.SCHEDULE, ""),
        "schedule_uid": found.get(labels.SCHEDULE_UID, ""),
        "initiated_by": InitiatedBy.SCHEDULER if by_clock else InitiatedBy.ADMIN,
        "mark": mark_of(body),
    }


def _status_of(body: Json) -> BackupStatus:
    try:
        return BackupStatus.model_validate(body.get("status") or {})
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Unreadable(
            f"its status.{where} is not of this operator's release: install the newer release again"
        ) from error


def _spec_of(body: Json) -> BackupSpec | str:
    """The spec, or a sentence about what does not fit in it."""
    try:
        return BackupSpec.model_validate(body.get("spec", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("spec", *first["loc"]))
        return f"{where} does not fit this operator's release ({first['msg']})"


def readable(item: Json) -> AnyBackup | None:
    """None when the resource can't be read, so that it does not hide the others in a list."""
    try:
        return backup_of(item)
    except Unreadable as exc:
        logger.warning("%s/%s: %s", item["metadata"]["namespace"], item["metadata"]["name"], exc)
        return None


def is_schedule(item: Json) -> bool:
    return "schedule" in item.get("spec", {})


def is_finished(item: Json) -> bool:
    return bool(holding(item) & FINISHED)


def is_over(item: Json) -> bool:
    """Whether the run has ended, perhaps before its status was lost."""
    return is_finished(item) or mark_of(item) is not None


def is_settled(item: Json) -> bool:
    """Whether a pass over the run would have nothing to do."""
    status, meta = item.get("status") or {}, item["metadata"]
    if not is_finished(item) or "deletionTimestamp" in meta:
        return False
    if status.get("stopped") or any(c["status"] == "Unknown" for c in status["conditions"]):
        return False
    mark = mark_of(item)
    if mark is None or mark.uid not in (meta["uid"], status.get("originalUid")):
        return False
    wants_finalizer: bool = item.get("spec", {}).get("deletionPolicy") == DeletionPolicy.DELETE
    return wants_finalizer == (labels.FINALIZER in meta.get("finalizers", ()))


def target_of(item: Json) -> Target | None:
    """None when the spec names no database in a form that this release knows."""
    database = item.get("spec", {}).get("database", {})
    match database:
        case {"host": str(host), "port": int(port), "name": str(name)}:
            return Target(item["metadata"]["namespace"], host, port, name)
    return None


def is_in_storage(item: Json, run: BackupRun) -> bool:
    ours, theirs = run.spec.storage.local, item.get("spec", {}).get("storage", {}).get("local", {})
    return (theirs.get("claimName"), theirs.get("subPath", "")) == (ours.claim_name, ours.sub_path)


def status_patch(old: RunStatus, new: RunStatus) -> Json:
    """The new status as a merge patch, in which a field that is to be removed must be null."""
    before, after = _json(old), _json(new)
    return {key: None for key in before if key not in after} | after


def _json(status: RunStatus) -> Json:
    values: Json = status.model_dump(by_alias=True, exclude_none=True)
    timed: Json = _times_as_text(values)
    return timed


def _times_as_text(value: Any) -> Any:
    match value:
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        case dict():
            return {key: _times_as_text(item) for key, item in value.items()}
        case list():
            return [_times_as_text(item) for item in value]
    return value
