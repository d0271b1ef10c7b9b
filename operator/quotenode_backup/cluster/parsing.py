"""Kubernetes objects as the API server sends them, made into the values of `views`; and a status made into a patch."""

import logging
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from quotenode_backup.api.backup import BackupSpec, DeletionPolicy
from quotenode_backup.api.backup_status import FINISHED, BackupStatus
from quotenode_backup.cluster.errors import Unreadable
from quotenode_backup.cluster.finished_marks import holding, mark_of
from quotenode_backup.cluster.objects import Claim, Job, Lease, Mounter, Pod, Run, Stopped
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels

logger = logging.getLogger(__name__)

Json = dict[str, Any]
_TO_DO = {Reason.AUDIT_PENDING, Reason.SEARCHING_BUNDLE}
"""Reasons of conditions that somebody still has to see to."""


def run_of(body: Json) -> Run:
    """Raises Unreadable when its status does not fit our types. It is left alone then: only who wrote it knows what it means."""
    meta = body["metadata"]
    spec, fault = _spec_of(body)
    try:
        status = BackupStatus.model_validate(body.get("status") or {})
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Unreadable(
            f"its status.{where} is not of this operator's release: install the newer one again"
        ) from error
    marks = meta.get("labels") or {}
    by_clock = marks.get(labels.INITIATED_BY) == InitiatedBy.SCHEDULER
    return Run(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=meta.get("generation", 1),
        created=_time(meta["creationTimestamp"]),
        deleting="deletionTimestamp" in meta,
        spec=spec,
        spec_fault=fault,
        status=status,
        is_schedule=is_schedule(body),
        schedule=marks.get(labels.SCHEDULE, ""),
        schedule_uid=marks.get(labels.SCHEDULE_UID, ""),
        initiated_by=InitiatedBy.SCHEDULER if by_clock else InitiatedBy.ADMIN,
        has_finalizer=labels.FINALIZER in meta.get("finalizers", ()),
        approved=(meta.get("annotations") or {}).get(labels.APPROVED, ""),
        mark=mark_of(body),
        last_trigger=(meta.get("annotations") or {}).get(labels.LAST_TRIGGER),
    )


def _spec_of(body: Json) -> tuple[BackupSpec | None, str]:
    """The spec, or what does not fit."""
    try:
        return BackupSpec.model_validate(body.get("spec", {})), ""
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("spec", *first["loc"]))
        return None, f"{where} does not fit this operator's release ({first['msg']})"


def is_schedule(item: Json) -> bool:
    """Whether a QuoteNodeBackup, not yet parsed, is a schedule."""
    return "schedule" in item.get("spec", {})


def is_finished(item: Json) -> bool:
    """Whether a QuoteNodeBackup, not yet parsed, has ended: there can be thousands of those."""
    return bool(holding(item) & FINISHED)


def is_over(item: Json) -> bool:
    """Whether a QuoteNodeBackup, not yet parsed, has ended, or did so before it lost its status."""
    return is_finished(item) or mark_of(item) is not None


def is_at_rest(item: Json) -> bool:
    """Whether nothing is left to do for a QuoteNodeBackup, not yet parsed."""
    if not is_finished(item) or "deletionTimestamp" in item["metadata"]:
        return False
    if any(c["reason"] in _TO_DO for c in item["status"]["conditions"]) or item["status"].get("stopped"):
        return False
    mark = mark_of(item)
    if mark is None or mark.uid not in (item["metadata"]["uid"], item["status"].get("originalUid")):
        return False
    wants_finalizer: bool = item.get("spec", {}).get("deletionPolicy") == DeletionPolicy.DELETE
    return wants_finalizer == (labels.FINALIZER in item["metadata"].get("finalizers", ()))


def readable(item: Json) -> Run | None:
    """One run that can't be read must not hide the others."""
    try:
        return run_of(item)
    except Unreadable as exc:
        logger.warning("%s/%s: %s", item["metadata"]["namespace"], item["metadata"]["name"], exc)
        return None


def is_of_target(item: Json, run: Run) -> bool:
    if run.spec is None:
        return False
    ours, theirs = run.spec.database, item.get("spec", {}).get("database", {})
    return (theirs.get("host"), theirs.get("port"), theirs.get("name")) == (ours.host, ours.port, ours.name)


def is_in_storage(item: Json, run: Run) -> bool:
    if run.spec is None:
        return False
    ours, theirs = run.spec.storage.local, item.get("spec", {}).get("storage", {}).get("local", {})
    return (theirs.get("claimName"), theirs.get("subPath", "")) == (ours.claim_name, ours.sub_path)


def job_of(body: Json) -> Job:
    meta = body["metadata"]
    marks = meta.get("labels", {})
    number = marks.get(labels.ATTEMPT, "1")
    holding = {c["type"]: c for c in body.get("status", {}).get("conditions", []) if c["status"] == "True"}
    return Job(
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=next((o["uid"] for o in meta.get("ownerReferences", []) if o.get("controller")), None),
        run_uid=marks.get(labels.RUN_UID) or marks.get(labels.TASK_FOR),
        created=_time(meta["creationTimestamp"]),
        complete="Complete" in holding,
        failed="Failed" in holding,
        failed_reason=holding.get("Failed", {}).get("reason", ""),
        ttl_set="ttlSecondsAfterFinished" in body["spec"],
        deleting="deletionTimestamp" in meta,
        number=int(number) if number.isdecimal() else 1,
        ended=_ended(holding),
    )


def _ended(holding: dict[str, Json]) -> datetime | None:
    """When a Job was seen to have ended."""
    times = [holding[kind].get("lastTransitionTime") for kind in ("Complete", "Failed") if kind in holding]
    return max((_time(text) for text in times if text), default=None)


def pod_of(body: Json) -> Pod:
    meta, status = body["metadata"], body.get("status", {})
    state = _container_state(status)
    waiting, terminated = state.get("waiting", {}), state.get("terminated", {})
    return Pod(
        name=meta["name"],
        job_name=meta.get("labels", {}).get("batch.kubernetes.io/job-name"),
        phase=status.get("phase", "Pending"),
        reason=status.get("reason", ""),
        node=body["spec"].get("nodeName"),
        created=_time(meta["creationTimestamp"]),
        deleting="deletionTimestamp" in meta,
        scheduled=_scheduled(status),
        unscheduled_message=_unscheduled(status),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        exit_code=terminated.get("exitCode"),
        terminated_reason=terminated.get("reason", ""),
        termination_message=terminated.get("message", ""),
    )


def _container_state(status: Json) -> Json:
    """Of ours: others may have been put beside it."""
    containers = status.get("containerStatuses", [])
    return next((one.get("state", {}) for one in containers if one["name"] == labels.RUNNER), {})


def _scheduled(status: Json) -> datetime | None:
    condition = _pod_scheduled(status)
    moment = condition.get("lastTransitionTime") if condition.get("status") == "True" else None
    return _time(moment) if moment else None


def _unscheduled(status: Json) -> str:
    condition = _pod_scheduled(status)
    return str(condition.get("message", "")) if condition.get("status") == "False" else ""


def _pod_scheduled(status: Json) -> Json:
    return next((one for one in status.get("conditions", []) if one["type"] == "PodScheduled"), {})


def mounter_of(body: Json, claim: str) -> Mounter | None:
    """The pod as one that has the claim mounted, or None."""
    node = body["spec"].get("nodeName")
    if not node or body.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
        return None
    volumes = {
        volume["name"]
        for volume in body["spec"].get("volumes", [])
        if volume.get("persistentVolumeClaim", {}).get("claimName") == claim
    }
    for container in body["spec"]["containers"]:
        if any(mount["name"] in volumes for mount in container.get("volumeMounts", [])):
            return Mounter(
                pod=body["metadata"]["name"],
                node=node,
                user=_user(body, container),
                tolerations=tuple(body["spec"].get("tolerations", ())),
            )
    return None


def _user(body: Json, container: Json) -> int | None:
    """As whom the container runs: what its template says, else what the kubelet reports."""
    for context in (container.get("securityContext", {}), body["spec"].get("securityContext", {})):
        if "runAsUser" in context:
            return int(context["runAsUser"])
    for status in body.get("status", {}).get("containerStatuses", []):
        if status["name"] == container["name"]:
            reported = status.get("user", {}).get("linux", {}).get("uid")
            return None if reported is None else int(reported)
    return None


def claim_of(body: Json) -> Claim:
    meta = body["metadata"]
    return Claim(
        name=meta["name"],
        access_modes=frozenset(body["spec"].get("accessModes", ())),
        deleting="deletionTimestamp" in meta,
        owner_uids=frozenset(owner["uid"] for owner in meta.get("ownerReferences", ())),
    )


def lease_of(body: Json) -> Lease:
    meta, spec = body["metadata"], body.get("spec", {})
    annotations = meta.get("annotations") or {}
    return Lease(
        name=meta["name"],
        resource_version=meta["resourceVersion"],
        holder_uid=spec.get("holderIdentity") or "",
        holder_name=annotations.get(labels.HOLDER, ""),
        target=annotations.get(labels.TARGET, ""),
        transitions=spec.get("leaseTransitions") or 0,
        break_for=annotations.get(labels.BREAK_LOCK, ""),
        stopped=_stopped(annotations.get(labels.STOPPED, "")),
    )


def _stopped(text: str) -> Stopped | None:
    """What can't be read was not written by us: nobody can act on it."""
    try:
        return Stopped.model_validate_json(text) if text else None
    except ValidationError:
        return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def time_of_event(event: Json) -> datetime:
    text = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return datetime.fromisoformat(text)


def status_patch(old: BackupStatus, new: BackupStatus) -> Json:
    """The new status as a merge patch, which forgets a field only when it is told so."""
    before, after = _json(old), _json(new)
    return {key: None for key in before if key not in after} | after


def _json(status: BackupStatus) -> Json:
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
