"""Requests about the operator's own Jobs, which are identified by owner and step.

A verb that is new here must be added to `permissions`.
"""

from collections.abc import AsyncIterator

from quotenode_backup.api.backup import KIND
from quotenode_backup.cluster import paths
from quotenode_backup.cluster.connection import MERGE_PATCH, Api, Json, each_item
from quotenode_backup.cluster.errors import AlreadyExists, NameTaken, NotFound
from quotenode_backup.cluster.objects import Job
from quotenode_backup.cluster.parsing import job_of
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.manifests import labels


class Jobs:
    def __init__(self, connection: Api) -> None:
        self._api = connection

    async def of(self, owner: Owner, step: str) -> list[Job]:
        return await self._selected(owner.namespace, labels.of_owner(owner.uid, step))

    async def count_under_way(self, namespace: str, step: str) -> int:
        """How many Jobs of this step are unfinished in the namespace, over all resources."""
        return sum(not job.is_finished for job in await self._selected(namespace, labels.of_step(step)))

    async def owners_to_wind_down(self, namespace: str | None) -> AsyncIterator[Key]:
        """Key of the owner of each Job without a time to live, once per Job."""
        async for item in each_item(self._api, paths.jobs(namespace), {"labelSelector": labels.OURS}):
            found = item["metadata"]["labels"]
            if labels.RUN_NAME in found and "ttlSecondsAfterFinished" not in item["spec"]:
                yield Key(found.get(labels.KIND, KIND), item["metadata"]["namespace"], found[labels.RUN_NAME])

    async def ensure(self, manifest: Json) -> Job:
        """Create the Job, or adopt the Job of this name that was created for the same resource before."""
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        try:
            return job_of(await self._api.write("POST", paths.jobs(namespace), manifest))
        except AlreadyExists:
            job = job_of(await self._api.read(paths.jobs(namespace, name)))
        if (job.owner_uid, job.run_uid) != _identity(manifest):
            raise NameTaken(f"Job {name} exists and is not this run's")
        return job

    async def delete(self, namespace: str, job: Job) -> None:
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": job.uid}}
        try:
            await self._api.write("DELETE", paths.jobs(namespace, job.name), body)
        except NotFound:
            return

    async def let_expire(self, namespace: str, job: Job, seconds: int) -> None:
        body = {"metadata": {"uid": job.uid}, "spec": {"ttlSecondsAfterFinished": seconds}}
        try:
            await self._api.write("PATCH", paths.jobs(namespace, job.name), body, MERGE_PATCH)
        except NotFound:
            return

    async def _selected(self, namespace: str, selector: str) -> list[Job]:
        query = {"labelSelector": selector}
        return [job_of(item) async for item in each_item(self._api, paths.jobs(namespace), query)]


def _identity(manifest: Json) -> tuple[str | None, str]:
    owners = manifest["metadata"].get("ownerReferences", [])
    return next((owner["uid"] for owner in owners), None), manifest["metadata"]["labels"][labels.RUN_UID]
