"""The runner's pod, for any command: without root, capabilities or an API token."""

from dataclasses import dataclass
from typing import Any

from quotenode_backup.api.database import CASecretRef, CredentialsSecretRef, DatabaseAccess
from quotenode_backup.api.pod import Pod
from quotenode_backup.contract import paths
from quotenode_backup.contract.plans import Plan, plan_digest
from quotenode_backup.domain.naming import job_name
from quotenode_backup.manifests import labels
from quotenode_backup.manifests.placement import Placement

Manifest = dict[str, Any]

PRIVATE_LIMIT = "16Mi"
GRACE_SECONDS = 30
"""How long the runner may take to clean up after SIGTERM."""

DEFAULT_RESOURCES: Manifest = {
    "requests": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
    "limits": {"memory": "512Mi", "ephemeral-storage": "64Mi"},
}


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """The chart's settings for the pods of all runners."""

    image: str
    image_pull_policy: str
    service_account: str
    log_format: str
    log_level: str = "INFO"


@dataclass(frozen=True, slots=True)
class Work:
    """What a runner's pod does, and what it mounts beside its plan."""

    step: str
    """The step label, such as `backup`. The runner's command has the same name."""
    volumes: tuple[Manifest, ...]
    mounts: tuple[Manifest, ...]
    leaves_modes: bool = False
    """Whether a writable volume holds files of others, whose group the kubelet must not change to `pod.fsGroup`."""


_PRIVATE_VOLUME: Manifest = {"name": "private", "emptyDir": {"medium": "Memory", "sizeLimit": PRIVATE_LIMIT}}


def runner_job(
    plan: Plan, kind: str, work: Work, chosen: Pod, placement: Placement, settings: RunnerSettings
) -> Manifest:
    """The Job of one pod, which gets its plan as an annotation. Each step adds owner and deadline. `kind`: the
    resource's.

    The plan's checksum is an argument of the container, because whoever may patch pods or suspended Jobs can change an
    annotation but not the arguments.
    """
    text, identity = plan.model_dump_json(by_alias=True, exclude_none=True), _identity(plan, kind, work.step)
    pod = runner_pod(work, chosen, placement, settings)
    container, *others = pod["containers"]
    container = container | {"args": [*container["args"], plan_digest(text.encode())]}
    name = job_name(work.step, plan.run_uid, plan.attempt)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": plan.namespace, "name": name, "labels": identity},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {"labels": {**(chosen.labels or {}), **identity}, "annotations": {labels.PLAN: text}},
                "spec": pod | {"containers": [container, *others]},
            },
        },
    }


def _identity(plan: Plan, kind: str, step: str) -> dict[str, str]:
    """The labels by which a Job and its pod are found."""
    return {
        labels.MANAGED_BY: labels.MANAGER,
        labels.KIND: kind,
        labels.RUN_NAME: plan.name,
        labels.RUN_UID: plan.run_uid,
        labels.STEP: step,
        labels.ATTEMPT: str(plan.attempt),
    }


def runner_pod(work: Work, pod: Pod, placement: Placement, settings: RunnerSettings) -> Manifest:
    chosen = pod.model_dump(by_alias=True, exclude_none=True)
    optional: Manifest = {key: chosen[key] for key in ("nodeSelector", "priorityClassName") if key in chosen}
    return {
        "restartPolicy": "Never",
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": _security(pod, placement, work),
        "tolerations": [*chosen.get("tolerations", []), *placement.tolerations],
        **({"affinity": _pinned_to(placement.node)} if placement.node else {}),
        **optional,
        "containers": [_container(work, pod, settings)],
        "volumes": [plan_volume(), *work.volumes, _PRIVATE_VOLUME],
    }


def _security(pod: Pod, placement: Placement, work: Work) -> Manifest:
    group: Manifest = {}
    if pod.fs_group is not None and (work.leaves_modes or placement.leaves_modes):
        group = {"supplementalGroups": [pod.fs_group]}
    elif pod.fs_group is not None:
        group = {"fsGroup": pod.fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    return {
        "runAsNonRoot": True,
        "runAsUser": placement.user,
        "runAsGroup": placement.user if pod.fs_group is None else pod.fs_group,
        "seccompProfile": {"type": "RuntimeDefault"},
        **group,
    }


def _pinned_to(node: str) -> Manifest:
    """Affinity and not `nodeName`, since only the scheduler binds a claim that waits for its first consumer."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def _container(work: Work, pod: Pod, settings: RunnerSettings) -> Manifest:
    return {
        "name": labels.RUNNER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": [work.step],
        "env": [
            _from_field("POD_UID", "metadata.uid"),
            _from_field("POD_NAME", "metadata.name"),
            {"name": "QN_LOG_FORMAT", "value": settings.log_format},
            {"name": "QN_LOG_LEVEL", "value": settings.log_level},
        ],
        "resources": _resources(pod),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": paths.RESULT,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            mount("plan", folder_of(paths.PLAN)),
            *work.mounts,
            mount("private", paths.PRIVATE, read_only=False),
        ],
    }


def _from_field(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _resources(pod: Pod) -> Manifest:
    chosen = pod.resources.model_dump(exclude_none=True) if pod.resources else {}
    requests = DEFAULT_RESOURCES["requests"] | chosen.get("requests", {})
    limits = DEFAULT_RESOURCES["limits"] | chosen.get("limits", {})
    return {"requests": requests, "limits": limits}


def mount(name: str, path: str, *, read_only: bool = True) -> Manifest:
    return {"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {})


def database_mounts(database: DatabaseAccess) -> list[Manifest]:
    """The Secrets for a connection to the database, as files."""
    authority = [mount("ca", folder_of(paths.CA_FILE))] if database.ca_secret_ref else []
    return [mount("database", paths.DATABASE_SECRET), *authority]


def database_volumes(database: DatabaseAccess) -> list[Manifest]:
    authority = [ca_volume(database.ca_secret_ref)] if database.ca_secret_ref else []
    return [credentials_volume(database.credentials_secret_ref), *authority]


def claim_volume(name: str, claim: str, *, read_only: bool = False) -> Manifest:
    """`read_only` is about the whole volume. With a read-only mount of a writable volume, the kubelet would still
    change the group, modes and SELinux labels of the files.
    """
    source: Manifest = {"claimName": claim} | ({"readOnly": True} if read_only else {})
    return {"name": name, "persistentVolumeClaim": source}


def plan_volume() -> Manifest:
    item = {"path": file_of(paths.PLAN), "fieldRef": {"fieldPath": f"metadata.annotations['{labels.PLAN}']"}}
    return {"name": "plan", "downwardAPI": {"items": [item]}}


def credentials_volume(ref: CredentialsSecretRef) -> Manifest:
    """The Secret is optional, so that the pod starts without it and the runner can name the missing Secret or key."""
    items = [{"key": ref.username_key, "path": "username"}, {"key": ref.password_key, "path": "password"}]
    return {"name": "database", "secret": {"secretName": ref.name, "optional": True, "items": items}}


def ca_volume(ref: CASecretRef) -> Manifest:
    items = [{"key": ref.key, "path": file_of(paths.CA_FILE)}]
    return {"name": "ca", "secret": {"secretName": ref.name, "optional": True, "items": items}}


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def file_of(path: str) -> str:
    return path.rpartition("/")[2]
