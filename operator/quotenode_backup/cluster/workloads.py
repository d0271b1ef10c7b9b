"""Requests about the application's workloads, and what they give. A verb that is new here must be added to `permissions`."""

from dataclasses import dataclass
from typing import Literal

from quotenode_backup.cluster import paths
from quotenode_backup.cluster.connection import MERGE_PATCH, Api, Json, each_item
from quotenode_backup.cluster.errors import NotFound
from quotenode_backup.cluster.parsing import pod_of


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale subresource of a workload."""

    kind: Literal["Deployment", "StatefulSet"]
    name: str
    uid: str
    """UID of the workload."""
    resource_version: str
    replicas: int
    selector: str
    """Selects the workload's pods; empty when unknown."""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class StatefulSet:
    """The fields of a StatefulSet that decide whether it can be scaled down and up again without loss of data."""

    name: str
    deleting: bool
    deletes_claims: bool
    """Whether scaling it down deletes the claims of its pods (`persistentVolumeClaimRetentionPolicy.whenScaled`)."""


@dataclass(frozen=True, slots=True)
class PodClaims:
    """The claims that a pod mounts by name, without those of generic ephemeral volumes, which belong to the pod."""

    pod: str
    uid: str
    claims: frozenset[str]


class Workloads:
    def __init__(self, connection: Api) -> None:
        self._api = connection

    async def read_scale(self, namespace: str, kind: Literal["Deployment", "StatefulSet"], name: str) -> Scale | None:
        try:
            return _scale_of(await self._api.read(paths.scale(namespace, kind, name)), kind)
        except NotFound:
            return None

    async def set_replicas(self, namespace: str, seen: Scale, replicas: int) -> None:
        """Compare-and-swap: raises Conflict if the workload has changed since its scale was read."""
        body = {"metadata": {"resourceVersion": seen.resource_version}, "spec": {"replicas": replicas}}
        await self._api.write("PATCH", paths.scale(namespace, seen.kind, seen.name), body, MERGE_PATCH)

    async def read_stateful_set(self, namespace: str, name: str) -> StatefulSet | None:
        try:
            return _stateful_set_of(await self._api.read(paths.stateful_set(namespace, name)))
        except NotFound:
            return None

    async def autoscaled(self, namespace: str) -> set[tuple[str, str]]:
        """Kind and name of each workload that a HorizontalPodAutoscaler scales."""
        path = paths.collection("/apis/autoscaling/v2", namespace, "horizontalpodautoscalers")
        targets = [item["spec"]["scaleTargetRef"] async for item in each_item(self._api, path, {})]
        return {(target["kind"], target["name"]) for target in targets}

    async def live_pods(self, namespace: str, selector: str) -> list[str]:
        """Names of the selected pods that have not ended. A terminating pod is still at work."""
        query = {"labelSelector": selector}
        found = [pod_of(item) async for item in each_item(self._api, paths.core(namespace, "pods"), query)]
        return [pod.name for pod in found if not pod.is_over]

    async def claims_of_pods(self, namespace: str, selector: str) -> list[PodClaims]:
        """The claims of all selected pods, since a pod that has ended still keeps its claims from being deleted."""
        query = {"labelSelector": selector}
        return [_pod_claims_of(item) async for item in each_item(self._api, paths.core(namespace, "pods"), query)]


def _scale_of(body: Json, kind: Literal["Deployment", "StatefulSet"]) -> Scale:
    meta = body["metadata"]
    return Scale(
        kind=kind,
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        replicas=body.get("spec", {}).get("replicas", 0),
        selector=body.get("status", {}).get("selector", ""),
    )


def _stateful_set_of(body: Json) -> StatefulSet:
    """The policy is only about claims from templates. An unknown value counts as one that deletes claims."""
    spec = body["spec"]
    policy = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    return StatefulSet(
        name=body["metadata"]["name"],
        deleting="deletionTimestamp" in body["metadata"],
        deletes_claims=bool(spec.get("volumeClaimTemplates")) and policy.get("whenScaled", "Retain") != "Retain",
    )


def _pod_claims_of(body: Json) -> PodClaims:
    volumes = body["spec"].get("volumes", ())
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    return PodClaims(pod=body["metadata"]["name"], uid=body["metadata"]["uid"], claims=frozenset(claims))
