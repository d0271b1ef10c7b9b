"""What the parsing of all our custom resources has in common.

There can be thousands of them, so what has to be known of all of them is read from the JSON without parsing.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from quotenode_backup.api.conditions import FINISHED
from quotenode_backup.api.run_status import RunStatus
from quotenode_backup.cluster.errors import Unreadable
from quotenode_backup.cluster.finished_marks import holding, mark_of
from quotenode_backup.cluster.parsing import time_of
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels

Json = dict[str, Any]
Spec = TypeVar("Spec", bound=BaseModel)
Status = TypeVar("Status", bound=RunStatus)


def common(body: Json, kind: str, status: type[RunStatus], finalizer: str) -> Json:
    """The fields of a `Resource`. `finalizer`: the one of ours that resources of this kind can have."""
    meta = body["metadata"]
    return {
        "owner": Owner(kind, meta["namespace"], meta["name"], meta["uid"]),
        "resource_version": meta["resourceVersion"],
        "generation": meta.get("generation", 1),
        "created": time_of(meta["creationTimestamp"]),
        "deleting": "deletionTimestamp" in meta,
        "status": status_of(body, status),
        "has_finalizer": finalizer in meta.get("finalizers", ()),
        "approved": (meta.get("annotations") or {}).get(labels.APPROVED, ""),
    }


def status_of(body: Json, model: type[Status]) -> Status:
    """Raises Unreadable when the status does not fit our types. Such a resource is left alone, since only the release
    that wrote its status knows what the status means.
    """
    try:
        return model.model_validate(body.get("status") or {})
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Unreadable(
            f"its status.{where} is not of this operator's release: install the newer release again"
        ) from error


def spec_of(body: Json, model: type[Spec]) -> Spec | str:
    """The spec, or a sentence about what does not fit in it."""
    try:
        return model.model_validate(body.get("spec", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("spec", *first["loc"]))
        return f"{where} does not fit this operator's release ({first['msg']})"


def is_finished(item: Json) -> bool:
    return bool(holding(item) & FINISHED)


def is_over(item: Json) -> bool:
    """Whether the run has ended, perhaps before its status was lost."""
    return is_finished(item) or mark_of(item) is not None


def is_at_rest(item: Json) -> bool:
    """Whether a run has finished, was marked so, and owes nothing to its application or its conditions."""
    status, meta = item.get("status") or {}, item["metadata"]
    if not is_finished(item) or "deletionTimestamp" in meta:
        return False
    if status.get("stopped") or any(c["status"] == "Unknown" for c in status["conditions"]):
        return False
    mark = mark_of(item)
    return mark is not None and mark.uid in (meta["uid"], status.get("originalUid"))


def target_in(namespace: str, database: Json) -> Target | None:
    """None when this names no database in a form that this release knows."""
    match database:
        case {"host": str(host), "port": int(port), "name": str(name)}:
            return Target(namespace, host, port, name)
    return None


def status_patch(old: RunStatus, new: RunStatus) -> Json:
    """The new status as a merge patch, in which a field that is to be removed must be null, at every depth."""
    return _merge_patch(_json(old), _json(new))


def _merge_patch(before: Json, after: Json) -> Json:
    patch: Json = {key: None for key in before if key not in after}
    for key, value in after.items():
        known = before.get(key)
        patch[key] = _merge_patch(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return patch


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
