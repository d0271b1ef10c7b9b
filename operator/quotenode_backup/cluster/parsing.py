"""Parses the API server's JSON of Kubernetes objects into values. Our own kinds: `backup_parsing`, `restore_parsing`."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from quotenode_backup.api.backup import KIND
from quotenode_backup.cluster.objects import Claim, Job, Lease, Mounter, Pod, Stopped
from quotenode_backup.domain.owner import Owner
from quotenode_backup.manifests import labels

Json = dict[str, Any]


def job_of(body: Json) -> Job:
    meta = body["metadata"]
    found = meta.get("labels", {})
    number = found.get(labels.ATTEMPT, "1")
    holding = {c["type"]: c for c in body.get("status", {}).get("conditions", []) if c["status"] == "True"}
    return Job(
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=next((o["uid"] for o in meta.get("ownerReferences", []) if o.get("controller")), None),
        run_uid=found.get(labels.RUN_UID),
        created=time_of(meta["creationTimestamp"]),
        complete="Complete" in holding,
        failed="Failed" in holding,
        failed_reason=holding.get("Failed", {}).get("reason", ""),
        ttl_set="ttlSecondsAfterFinished" in body["spec"],
        deleting="deletionTimestamp" in meta,
        number=int(number) if number.isdecimal() else 1,
        ended=_ended(holding),
    )


def _ended(holding: dict[str, Json]) -> datetime | None:
    """When the Job ended, according to its conditions."""
    times = [holding[kind].get("lastTransitionTime") for kind in ("Complete", "Failed") if kind in holding]
    return max((time_of(text) for text in times if text), default=None)


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
    """The state of our container. A service mesh, for example, may have added others to the pod."""
    containers = status.get("containerStatuses", [])
    return next((one.get("state", {}) for one in containers if one["name"] == labels.RUNNER), {})


def _scheduled(status: Json) -> datetime | None:
    condition = _pod_scheduled(status)
    moment = condition.get("lastTransitionTime") if condition.get("status") == "True" else None
    return time_of(moment) if moment else None


def _unscheduled(status: Json) -> str:
    condition = _pod_scheduled(status)
    return str(condition.get("message", "")) if condition.get("status") == "False" else ""


def _pod_scheduled(status: Json) -> Json:
    return next((one for one in status.get("conditions", []) if one["type"] == "PodScheduled"), {})


def mounter_of(body: Json, claim: str) -> Mounter | None:
    """The pod, if it is live and one of its containers mounts the claim; else None."""
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
    """The user ID of the container: what the pod's spec says, else what the kubelet reports; None if neither does."""
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
        namespace=meta["namespace"],
        name=meta["name"],
        resource_version=meta["resourceVersion"],
        holder=_holder(meta["namespace"], spec, annotations),
        target=annotations.get(labels.TARGET, ""),
        transitions=spec.get("leaseTransitions") or 0,
        break_for=annotations.get(labels.BREAK_LOCK, ""),
        stopped=_stopped(annotations.get(labels.STOPPED, "")),
    )


def _holder(namespace: str, spec: Json, annotations: Json) -> Owner | None:
    uid = spec.get("holderIdentity")
    if not uid:
        return None
    return Owner(annotations.get(labels.HOLDER_KIND, KIND), namespace, annotations.get(labels.HOLDER, ""), uid)


def _stopped(text: str) -> Stopped | None:
    """None for a text that can't be read, since the operator did not write it and can't act on it."""
    try:
        return Stopped.model_validate_json(text) if text else None
    except ValidationError:
        return None


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def time_of_event(event: Json) -> datetime:
    text = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return datetime.fromisoformat(text)
