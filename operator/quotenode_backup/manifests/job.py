"""The Job of one attempt, and the pod in it that the runner lives in."""

from dataclasses import dataclass
from typing import Any

from quotenode_backup.api import API_VERSION
from quotenode_backup.api.backup import KIND, CASecretRef, CredentialsSecretRef, Database, Pod
from quotenode_backup.contract import (
    CA_FILE,
    DATABASE_SECRET,
    DESTINATION,
    PLAN_PATH,
    PRIVATE,
    RESULT_PATH,
    SOURCES,
    Plan,
)
from quotenode_backup.domain.naming import job_name
from quotenode_backup.manifests import labels

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
    """What the chart says about every runner's pod."""

    image: str
    image_pull_policy: str
    service_account: str
    log_format: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the pod must run, and as whom, so that it can have the claims and read the files."""

    user: int
    node: str | None
    tolerations: tuple[Manifest, ...] = ()


def backup_job(
    plan: Plan, database: Database, pod: Pod, placement: Placement, settings: RunnerSettings, seconds_left: int
) -> Manifest:
    """`seconds_left` is the backstop: it kills the pod and takes its result along, so the plan's deadline comes first."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "namespace": plan.namespace,
            "name": job_name(plan.run_uid, plan.attempt),
            "labels": _labels(plan),
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": plan.name,
                    "uid": plan.run_uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": max(1, seconds_left),
            "template": {
                "metadata": {
                    "labels": {**(pod.labels or {}), **_labels(plan)},
                    "annotations": {labels.PLAN: plan.model_dump_json(by_alias=True, exclude_none=True)},
                },
                "spec": _pod(plan, database, pod, placement, settings),
            },
        },
    }


def _labels(plan: Plan) -> dict[str, str]:
    return {
        labels.MANAGED_BY: labels.MANAGER,
        labels.RUN_NAME: plan.name,
        labels.RUN_UID: plan.run_uid,
        labels.ATTEMPT: str(plan.attempt),
    }


def _pod(plan: Plan, database: Database, pod: Pod, placement: Placement, settings: RunnerSettings) -> Manifest:
    chosen = pod.model_dump(by_alias=True, exclude_none=True)
    optional: Manifest = {key: chosen[key] for key in ("nodeSelector", "priorityClassName") if key in chosen}
    return {
        "restartPolicy": "Never",
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": _security(pod, placement),
        "tolerations": [*chosen.get("tolerations", []), *placement.tolerations],
        **({"affinity": _pinned_to(placement.node)} if placement.node else {}),
        **optional,
        "containers": [_container(plan, database, pod, settings)],
        "volumes": _volumes(plan, database),
    }


def _security(pod: Pod, placement: Placement) -> Manifest:
    group = {} if pod.fs_group is None else {"fsGroup": pod.fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    return {
        "runAsNonRoot": True,
        "runAsUser": placement.user,
        "runAsGroup": placement.user if pod.fs_group is None else pod.fs_group,
        "seccompProfile": {"type": "RuntimeDefault"},
        **group,
    }


def _pinned_to(node: str) -> Manifest:
    """By affinity and not by `nodeName`: a claim that waits for its first consumer is bound by the scheduler alone."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def _container(plan: Plan, database: Database, pod: Pod, settings: RunnerSettings) -> Manifest:
    return {
        "name": "runner",
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": ["run"],
        "env": [
            _from_field("POD_UID", "metadata.uid"),
            _from_field("POD_NAME", "metadata.name"),
            {"name": "QN_LOG_FORMAT", "value": settings.log_format},
        ],
        "resources": _resources(pod),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": RESULT_PATH,
        "terminationMessagePolicy": "File",
        "volumeMounts": _mounts(plan, database),
    }


def _from_field(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _resources(pod: Pod) -> Manifest:
    chosen = pod.resources.model_dump(exclude_none=True) if pod.resources else {}
    requests = DEFAULT_RESOURCES["requests"] | chosen.get("requests", {})
    limits = DEFAULT_RESOURCES["limits"] | chosen.get("limits", {})
    return {"requests": requests, "limits": limits}


def _mounts(plan: Plan, database: Database) -> list[Manifest]:
    def mount(name: str, path: str, *, read_only: bool = True) -> Manifest:
        return {"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {})

    volume = {claim: name for name, claim in _claims(plan)}
    return [
        mount("plan", _folder(PLAN_PATH)),
        mount("database", DATABASE_SECRET),
        *([mount("ca", _folder(CA_FILE))] if database.ca_secret_ref else []),
        *(mount(volume[files.claim_name], f"{SOURCES}/{index}") for index, files in enumerate(plan.files)),
        mount(volume[plan.local.claim_name], DESTINATION, read_only=False),
        mount("private", PRIVATE, read_only=False),
    ]


def _volumes(plan: Plan, database: Database) -> list[Manifest]:
    return [
        _plan_volume(),
        _credentials_volume(database.credentials_secret_ref),
        *([_ca_volume(database.ca_secret_ref)] if database.ca_secret_ref else []),
        *({"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in _claims(plan)),
        {"name": "private", "emptyDir": {"medium": "Memory", "sizeLimit": PRIVATE_LIMIT}},
    ]


def _claims(plan: Plan) -> list[tuple[str, str]]:
    """Each claim once, with the name of its volume: the kubelet mounts only one of two volumes of the same claim."""
    claims = dict.fromkeys([*(files.claim_name for files in plan.files), plan.local.claim_name])
    return [(f"claim-{index}", claim) for index, claim in enumerate(claims)]


def _plan_volume() -> Manifest:
    item = {"path": _file(PLAN_PATH), "fieldRef": {"fieldPath": f"metadata.annotations['{labels.PLAN}']"}}
    return {"name": "plan", "downwardAPI": {"items": [item]}}


def _credentials_volume(ref: CredentialsSecretRef) -> Manifest:
    """Optional, so that the pod starts without it and the runner can say which Secret or key is missing."""
    items = [{"key": ref.username_key, "path": "username"}, {"key": ref.password_key, "path": "password"}]
    return {"name": "database", "secret": {"secretName": ref.name, "optional": True, "items": items}}


def _ca_volume(ref: CASecretRef) -> Manifest:
    items = [{"key": ref.key, "path": _file(CA_FILE)}]
    return {"name": "ca", "secret": {"secretName": ref.name, "optional": True, "items": items}}


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _file(path: str) -> str:
    return path.rpartition("/")[2]
