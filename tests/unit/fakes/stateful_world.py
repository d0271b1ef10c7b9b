"""A world with StatefulSets: their controller, the claims of their pods, and the controllers that delete claims."""

from tests.unit.fakes.lives import GOES_WELL
from tests.unit.fakes.world import CLAIMS, PODS, Json, Script, World

STATEFUL_SETS = "/apis/apps/v1/namespaces/shop/statefulsets"


class StatefulWorld(World):
    """Pods end at once. `control` does the work of the cluster's controllers, with each tick."""

    def __init__(self, script: Script = GOES_WELL) -> None:
        super().__init__(script)
        self.ephemeral: set[str] = set()
        """StatefulSets whose pods also have a generic ephemeral volume `scratch`."""

    def stateful(
        self, name: str, replicas: int, when_scaled: str = "Retain", templates: tuple[str, ...] = ("data",)
    ) -> None:
        """A StatefulSet with these claims for each pod. Its scale is a separate object with the same metadata."""
        policy = {"whenScaled": when_scaled, "whenDeleted": "Retain"}
        claims = [{"metadata": {"name": template}} for template in templates]
        spec = {"persistentVolumeClaimRetentionPolicy": policy, "volumeClaimTemplates": claims}
        whole = self.put(STATEFUL_SETS, name, {"spec": spec})
        body = {"spec": {"replicas": replicas}, "status": {"selector": f"app={name}"}}
        self.put(f"{STATEFUL_SETS}/{name}", "scale", body)["metadata"] = whole["metadata"]
        self.control()

    def set_when_scaled(self, name: str, policy: str) -> None:
        path = f"{STATEFUL_SETS}/{name}"
        changed = {"persistentVolumeClaimRetentionPolicy": {"whenScaled": policy}}
        self.change(path, spec=self.objects[path]["spec"] | changed)

    def replicas(self, name: str) -> int:
        scale = self.objects.get(f"{STATEFUL_SETS}/{name}/scale")
        return int(scale["spec"]["replicas"]) if scale else super().replicas(name)

    def mark_deleted(self, path: str) -> None:
        """What `kubectl delete` does with an object that has a finalizer."""
        self.objects[path]["metadata"]["deletionTimestamp"] = self.now.isoformat()
        self.change(path)

    def claim_uid(self, name: str) -> str | None:
        claim = self.objects.get(f"{CLAIMS}/{name}")
        return str(claim["metadata"]["uid"]) if claim else None

    def tick(self) -> None:
        super().tick()
        self.control()

    def control(self) -> None:
        for body in self.in_(STATEFUL_SETS):
            self._sync_set(body)
        self._collect_owned_claims()
        self._finish_deletions()

    def _sync_set(self, body: Json) -> None:
        name, spec = body["metadata"]["name"], body["spec"]
        templates = [template["metadata"]["name"] for template in spec["volumeClaimTemplates"]]
        wanted = [f"{name}-{number}" for number in range(self.replicas(name))]
        for pod in wanted:
            self._ensure_pod(name, pod, templates)
        for pod in [pod["metadata"]["name"] for pod in self.in_(PODS) if pod["metadata"]["labels"].get("app") == name]:
            if pod not in wanted:
                deletes = spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Delete"
                self._end_pod(pod, templates if deletes else [])

    def _ensure_pod(self, name: str, pod: str, templates: list[str]) -> None:
        for claim in [f"{template}-{pod}" for template in templates]:
            if self.claim_uid(claim) is None:
                self.put_claim(claim)
        if f"{PODS}/{pod}" in self.objects:
            return
        made = self.put_pod(pod, {"app": name}, [f"{template}-{pod}" for template in templates])
        if name in self.ephemeral:
            made["spec"]["volumes"].append({"name": "scratch", "ephemeral": {}})
            self.put_claim(f"{pod}-scratch", ownerReferences=[_owner(made)])

    def put_claim(self, name: str, **meta: object) -> None:
        self.put(CLAIMS, name, {"metadata": meta, "spec": {"accessModes": ["ReadWriteOnce"]}})

    def put_pod(self, name: str, pod_labels: dict[str, str], claims: list[str]) -> Json:
        """A running pod that mounts these claims."""
        volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
        mounts = [{"name": claim} for claim in claims]
        container = {"name": "app", "volumeMounts": mounts, "securityContext": {"runAsUser": 1000}}
        spec = {"nodeName": "worker", "containers": [container], "volumes": volumes}
        pod = self.put(PODS, name, {"metadata": {"labels": pod_labels}, "spec": spec})
        pod["status"] = {"phase": "Running"}
        return pod

    def _end_pod(self, name: str, templates: list[str]) -> None:
        """End the pod. The claims of these templates become owned by the pod, so that they are deleted with it."""
        pod = self.objects.pop(f"{PODS}/{name}")
        for template in templates:
            self.objects[f"{CLAIMS}/{template}-{name}"]["metadata"]["ownerReferences"] = [_owner(pod)]

    def _collect_owned_claims(self) -> None:
        """The garbage collector: claims whose owning pod is gone are deleted."""
        pods = {pod["metadata"]["uid"] for pod in self.in_(PODS)}
        for claim in self.in_(CLAIMS):
            owners = {owner["uid"] for owner in claim["metadata"].get("ownerReferences", [])}
            if owners and not owners & pods:
                del self.objects[f"{CLAIMS}/{claim['metadata']['name']}"]

    def _finish_deletions(self) -> None:
        """The finalizer kubernetes.io/pvc-protection: a deleted claim stays as long as a pod has it in its volumes."""
        volumes = [volume for pod in self.in_(PODS) for volume in pod["spec"].get("volumes", [])]
        mounted = {volume.get("persistentVolumeClaim", {}).get("claimName") for volume in volumes}
        for claim in self.in_(CLAIMS):
            name = claim["metadata"]["name"]
            if "deletionTimestamp" in claim["metadata"] and name not in mounted:
                del self.objects[f"{CLAIMS}/{name}"]


def _owner(pod: Json) -> Json:
    return {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
