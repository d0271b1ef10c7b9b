"""The annotation that says how a run finished: read from its JSON, and made from a parsed run."""

import logging
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from quotenode_backup.api.conditions import ConditionType, Phase
from quotenode_backup.api.finished_mark import FinishedMark, MarkedBundle
from quotenode_backup.cluster.objects import Backup, Run
from quotenode_backup.manifests import labels

logger = logging.getLogger(__name__)

Json = dict[str, Any]
LONGEST = 16384
"""Characters. No annotation that the operator writes comes near this limit."""


def holding(item: Json) -> set[str]:
    """The conditions that are True."""
    return {c["type"] for c in (item.get("status") or {}).get("conditions", []) if c["status"] == "True"}


def mark_of(item: Json) -> FinishedMark | None:
    """None also if the mark belongs to another resource or contradicts the status, which then counts."""
    mark = _read(item["metadata"])
    return mark if mark and mark.name == item["metadata"]["name"] and _agrees(mark, item) else None


def _read(meta: Json) -> FinishedMark | None:
    text = (meta.get("annotations") or {}).get(labels.FINISHED, "")
    if not text or len(text) > LONGEST:
        return None
    try:
        return FinishedMark.model_validate_json(text)
    except ValidationError:
        logger.warning("%s/%s: its annotation %s can't be read", meta["namespace"], meta["name"], labels.FINISHED)
        return None


def _agrees(mark: FinishedMark, item: Json) -> bool:
    status, true = item.get("status") or {}, holding(item)
    if ConditionType.COMPLETE in true:
        known = status.get("checksum") if status.get("destinations") else None
        return (mark.phase, mark.bundle and mark.bundle.checksum) == (Phase.COMPLETED, known)
    if ConditionType.FAILED in true:
        return mark.phase is Phase.FAILED
    if ConditionType.RECREATED in true:
        return mark.phase is Phase.COMPLETED
    return "schedule" not in item.get("spec", {}) and not status.get("attempts")


def mark_for(run: Run) -> FinishedMark:
    """The annotation of a finished run: what must not be lost with the run's status."""
    status = run.status
    failed = status.holds(ConditionType.FAILED) and not status.holds(ConditionType.COMPLETE)
    return FinishedMark(
        name=run.name,
        uid=run.original_uid,
        phase=Phase.FAILED if failed else Phase.COMPLETED,
        reason=status.reason or "",
        start_time=_aware(status.start_time),
        completion_time=_aware(status.completion_time) or run.created,
        bundle=None if failed or not isinstance(run, Backup) else _bundle(run),
    )


def _bundle(run: Backup) -> MarkedBundle | None:
    status = run.status
    if not status.destinations or not status.checksum:
        return None
    place = status.destinations[0]
    return MarkedBundle(
        checksum=status.checksum,
        size_bytes=status.size_bytes or 0,
        claim_name=place.claim_name,
        path=place.path,
        user_id=place.user_id,
    )


def _aware(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None
