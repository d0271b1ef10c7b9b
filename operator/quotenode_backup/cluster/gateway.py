"""Everything the operator asks of the API server, one method each. A verb that is new here belongs in `rights`."""

import logging
import re
from collections.abc import AsyncIterator

from quotenode_backup.api.status import BackupStatus
from quotenode_backup.cluster import paths
from quotenode_backup.cluster.connection import MERGE_PATCH, Connection, Json, each_item
from quotenode_backup.cluster.errors import AlreadyExists, NotFound, Refused
from quotenode_backup.cluster.views import Claim, Job, Lease, Mounter, Pod, Run
from quotenode_backup.cluster.wire import (
    claim_of,
    is_at_rest,
    is_finished,
    is_in_storage,
    is_of_target,
    is_schedule,
    job_of,
    lease_of,
    mounter_of,
    pod_of,
    readable,
    run_of,
    status_patch,
    time_of_event,
)
from quotenode_backup.cluster.workloads import Workloads
from quotenode_backup.domain.naming import task_job_name
from quotenode_backup.manifests import labels

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class NameTaken(Exception):
    """An object that is not ours has the name of one of ours. It is never touched."""


class Cluster:
    def __init__(self, connection: Connection) -> None:
        self._api = connection
        self.workloads = Workloads(connection)

    async def read_run(self, namespace: str, name: str) -> Run | None:
        """None when there is none, and for what can't be a name: it may come from a Lease that anybody wrote."""
        if not _NAME.fullmatch(name):
            return None
        try:
            return run_of(await self._api.read(paths.runs(namespace, name)))
        except NotFound:
            return None

    async def unsettled_runs(self, namespace: str | None) -> AsyncIterator[tuple[str, str]]:
        """Namespace and name of each that something is left to do for. The others are not even parsed: there can be thousands."""
        async for item in self._items(paths.runs(namespace), {}):
            if not is_at_rest(item) and readable(item):
                yield item["metadata"]["namespace"], item["metadata"]["name"]

    async def stored_beside(self, run: Run) -> AsyncIterator[Run]:
        """The other finished runs whose bundles are in the same folder as the run's."""
        async for item in self._items(paths.runs(run.namespace), {}):
            is_other = item["metadata"]["uid"] != run.uid and is_finished(item)
            if is_other and is_of_target(item, run) and is_in_storage(item, run) and (other := readable(item)):
                yield other

    async def keep_finalizer(self, run: Run, wanted: bool) -> None:
        """Compare-and-swap, and nobody else's finalizer is touched."""
        path = paths.runs(run.namespace, run.name)
        try:
            meta = (await self._api.read(path))["metadata"]
            others = [name for name in meta.get("finalizers", ()) if name != labels.FINALIZER]
            kept = [*others, labels.FINALIZER] if wanted else others
            body = {"metadata": {"uid": run.uid, "resourceVersion": meta["resourceVersion"], "finalizers": kept}}
            await self._api.write("PATCH", path, body, MERGE_PATCH)
        except NotFound:
            return

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

    async def rivals_of(self, run: Run) -> AsyncIterator[Run]:
        """The other unfinished runs of the same database in the namespace. Only those are parsed: a namespace can hold thousands."""
        async for item in self._items(paths.runs(run.namespace), {}):
            is_rival = item["metadata"]["uid"] != run.uid and is_of_target(item, run)
            is_rival = is_rival and not is_finished(item) and not is_schedule(item)
            if is_rival and (rival := readable(item)):
                yield rival

    async def runs_of_schedule(self, namespace: str, uid: str) -> list[Run]:
        """Finished ones too, as far as they can be read."""
        query = {"labelSelector": labels.of_schedule(uid)}
        found = [readable(item) async for item in self._items(paths.runs(namespace), query)]
        return [run for run in found if run]

    async def ensure_run(self, manifest: Json) -> Run:
        """Create the run of a schedule, or adopt the one of this name that the same schedule made before."""
        meta = manifest["metadata"]
        try:
            return run_of(await self._api.write("POST", paths.runs(meta["namespace"]), manifest))
        except AlreadyExists:
            run = run_of(await self._api.read(paths.runs(meta["namespace"], meta["name"])))
        if run.schedule_uid != meta["labels"][labels.SCHEDULE_UID]:
            raise NameTaken(f"QuoteNodeBackup {run.name} exists and is not this schedule's")
        return run

    async def delete_run(self, run: Run) -> None:
        """Raises Conflict when the resource is not what was read."""
        body = {"preconditions": {"uid": run.uid, "resourceVersion": run.resource_version}}
        try:
            await self._api.write("DELETE", paths.runs(run.namespace, run.name), body)
        except NotFound:
            return

    async def write_status(self, run: Run, status: BackupStatus) -> Run:
        """Compare-and-swap: raises Conflict when the resource is not what was read. Returns it as it is now.

        Nothing is sent when the status says nothing new.
        """
        if status == run.status:
            return run
        body = {
            "metadata": {"resourceVersion": run.resource_version},
            "status": status_patch(run.status, status),
        }
        answer = await self._api.write("PATCH", f"{paths.runs(run.namespace, run.name)}/status", body, MERGE_PATCH)
        return run_of(answer)

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

    def _items(self, path: str, query: dict[str, str]) -> AsyncIterator[Json]:
        return each_item(self._api, path, query)
