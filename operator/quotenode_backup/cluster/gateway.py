"""Everything the operator asks of the API server, one method each. A verb that is new here belongs in `rights`."""

from collections.abc import AsyncIterator

from quotenode_backup.cluster import paths
from quotenode_backup.cluster.connection import MERGE_PATCH, Connection, Json
from quotenode_backup.cluster.custom_resources import NAME, CustomResources
from quotenode_backup.cluster.errors import AlreadyExists, NameTaken, NotFound, Refused
from quotenode_backup.cluster.objects import Claim, Job, Lease, Mounter, Pod
from quotenode_backup.cluster.parsing import (
    claim_of,
    job_of,
    lease_of,
    mounter_of,
    pod_of,
    readable,
    time_of_event,
)
from quotenode_backup.cluster.workloads import Workloads
from quotenode_backup.domain.naming import task_job_name
from quotenode_backup.manifests import labels


class Cluster(CustomResources):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.workloads = Workloads(connection)

    async def is_terminating(self, namespace: str) -> bool:
        """Whether the namespace is going away. False when we may not know."""
        try:
            return "deletionTimestamp" in (await self._api.read(paths.namespace(namespace)))["metadata"]
        except (NotFound, Refused):
            return False

    async def let_namespace_go(self, namespace: str) -> None:
        """Our finalizer off all that is being deleted there, if the namespace is going away: no Job can remove a bundle any more."""
        if not await self.is_terminating(namespace):
            return
        async for item in self._items(paths.runs(namespace), {}):
            run = readable(item)
            if run and run.deleting and run.has_finalizer:
                await self.keep_finalizer(run, False)

    async def jobs_of(self, namespace: str, run_uid: str) -> list[Job]:
        query = {"labelSelector": labels.of_run(run_uid)}
        return [job_of(item) async for item in self._items(paths.jobs(namespace), query)]

    async def owners_of_jobs_to_wind_down(self, namespace: str | None) -> AsyncIterator[tuple[str, str]]:
        """Namespace and name of each run that has a Job without a time to live."""
        async for item in self._items(paths.jobs(namespace), {"labelSelector": labels.OURS}):
            name = item["metadata"]["labels"].get(labels.RUN_NAME)
            if name and "ttlSecondsAfterFinished" not in item["spec"]:
                yield item["metadata"]["namespace"], name

    async def ensure_job(self, manifest: Json) -> Job:
        """Create the Job, or adopt the one of this name that the same run made before."""
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        try:
            return job_of(await self._api.write("POST", paths.jobs(namespace), manifest))
        except AlreadyExists:
            job = job_of(await self._api.read(paths.jobs(namespace, name)))
        if job.owner_uid != manifest["metadata"]["ownerReferences"][0]["uid"]:
            raise NameTaken(f"Job {name} exists and is not this backup's")
        return job

    async def tasks_of(self, namespace: str, task: str, run_uid: str) -> list[Job]:
        """The Jobs of something that is done after a run."""
        query = {"labelSelector": labels.of_task(task, run_uid)}
        found = [job_of(item) async for item in self._items(paths.jobs(namespace), query)]
        # A label is anybody's to set, the name is a function of what the Job is.
        return [job for job in found if job.name == task_job_name(task, run_uid, job.number)]

    async def task_pods_of(self, namespace: str, task: str, run_uid: str) -> list[Pod]:
        query = {"labelSelector": labels.of_task(task, run_uid)}
        return [pod_of(item) async for item in self._items(paths.core(namespace, "pods"), query)]

    async def count_tasks_under_way(self, namespace: str, task: str) -> int:
        """How many Jobs of this kind are unfinished in the namespace, whichever run each is for."""
        query = {"labelSelector": labels.of_kind(task)}
        found = [job_of(item) async for item in self._items(paths.jobs(namespace), query)]
        return sum(not job.is_finished for job in found)

    async def ensure_task(self, manifest: Json) -> None:
        """Create the Job, unless the same run made it before."""
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        try:
            await self._api.write("POST", paths.jobs(namespace), manifest)
        except AlreadyExists:
            job = job_of(await self._api.read(paths.jobs(namespace, name)))
            if job.run_uid != manifest["metadata"]["labels"][labels.TASK_FOR]:
                raise NameTaken(f"Job {name} exists and is not this backup's") from None

    async def delete_job(self, namespace: str, job: Job) -> None:
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": job.uid}}
        try:
            await self._api.write("DELETE", paths.jobs(namespace, job.name), body)
        except NotFound:
            return

    async def let_job_expire(self, namespace: str, job: Job, seconds: int) -> None:
        body = {"metadata": {"uid": job.uid}, "spec": {"ttlSecondsAfterFinished": seconds}}
        try:
            await self._api.write("PATCH", paths.jobs(namespace, job.name), body, MERGE_PATCH)
        except NotFound:
            return

    async def pods_of(self, namespace: str, run_uid: str) -> list[Pod]:
        query = {"labelSelector": labels.of_run(run_uid)}
        return [pod_of(item) async for item in self._items(paths.core(namespace, "pods"), query)]

    async def mounters_of(self, namespace: str, claims: set[str]) -> dict[str, list[Mounter]]:
        """Which live pods have the claims mounted, ours left out."""
        found: dict[str, list[Mounter]] = {claim: [] for claim in claims}
        query = {"labelSelector": f"{labels.MANAGED_BY}!={labels.MANAGER}"}
        async for item in self._items(paths.core(namespace, "pods"), query):
            for claim in claims:
                mounter = mounter_of(item, claim)
                if mounter:
                    found[claim].append(mounter)
        return found

    async def read_claim(self, namespace: str, name: str) -> Claim | None:
        """None when there is none, and for what can't be a name: it may come from an annotation."""
        if not NAME.fullmatch(name):
            return None
        try:
            return claim_of(await self._api.read(paths.core(namespace, "persistentvolumeclaims", name)))
        except NotFound:
            return None

    async def newest_warning(self, namespace: str, kind: str, name: str, reason: str) -> str:
        """What the newest Event of that reason says about the object; empty when there is none."""
        query = {"fieldSelector": f"involvedObject.kind={kind},involvedObject.name={name},reason={reason}"}
        events = [item async for item in self._items(paths.core(namespace, "events"), query)]
        events.sort(key=time_of_event)
        return str(events[-1].get("message", "")) if events else ""

    async def tell(self, event: Json) -> None:
        """Post an Event that may have been posted before."""
        path = f"/apis/events.k8s.io/v1/namespaces/{event['metadata']['namespace']}/events"
        try:
            await self._api.write("POST", path, event)
        except AlreadyExists:
            return

    async def read_lease(self, namespace: str, name: str) -> Lease | None:
        try:
            return lease_of(await self._api.read(paths.leases(namespace, name)))
        except NotFound:
            return None

    async def each_lease(self, namespace: str | None) -> AsyncIterator[tuple[str, Lease]]:
        """Our leases, each with its namespace."""
        async for item in self._items(paths.leases(namespace), {"labelSelector": labels.OURS}):
            yield item["metadata"]["namespace"], lease_of(item)

    async def create_lease(self, manifest: Json) -> Lease:
        """Raises AlreadyExists when another was first."""
        return lease_of(await self._api.write("POST", paths.leases(manifest["metadata"]["namespace"]), manifest))

    async def replace_lease(self, seen: Lease, manifest: Json) -> Lease:
        """Compare-and-swap: raises Conflict when the Lease is not what was read."""
        meta = manifest["metadata"] | {"resourceVersion": seen.resource_version}
        path = paths.leases(meta["namespace"], seen.name)
        return lease_of(await self._api.write("PUT", path, manifest | {"metadata": meta}))
