"""Requests about our custom resources. A verb that is new here must be added to `permissions`."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from quotenode_backup.api.backup import KIND, PLURAL
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.finished_mark import FinishedMark
from quotenode_backup.api.run_status import RunStatus
from quotenode_backup.cluster import paths
from quotenode_backup.cluster.backup_parsing import (
    backup_of,
    is_finished,
    is_in_storage,
    is_over,
    is_schedule,
    is_settled,
    readable,
    status_patch,
    target_of,
)
from quotenode_backup.cluster.connection import MERGE_PATCH, Api, Json, each_item
from quotenode_backup.cluster.errors import AlreadyExists, NameTaken, NotFound, Unreadable
from quotenode_backup.cluster.objects import AnyBackup, Backup, BackupRun, Resource, Schedule, UnreadableSchedule
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
AnyResource = TypeVar("AnyResource", bound=Resource)
Parsed_co = TypeVar("Parsed_co", bound=Resource, covariant=True)
Status_contra = TypeVar("Status_contra", bound=RunStatus, contravariant=True)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An unfinished resource and its database: the few fields that are read of every resource in a namespace."""

    owner: Owner
    target: Target
    created: datetime
    deleting: bool


class CustomResources(Generic[Parsed_co, Status_contra]):
    """Requests about the resources of one kind. `parse` raises Unreadable, as `read` does, for those of another release."""

    def __init__(self, connection: Api, plural: str, parse: Callable[[Json], Parsed_co]) -> None:
        self._api = connection
        self._plural = plural
        self._parse = parse

    async def read(self, namespace: str, name: str) -> Parsed_co | None:
        """None when the resource does not exist, or the name is invalid, as one from a Lease of others may be."""
        if not NAME.fullmatch(name):
            return None
        try:
            return self._parse(await self._api.read(self._path(namespace, name)))
        except NotFound:
            return None

    async def delete(self, resource: Resource) -> None:
        """Raises Conflict if the resource has changed since it was read."""
        body = {"preconditions": {"uid": resource.uid, "resourceVersion": resource.resource_version}}
        try:
            await self._api.write("DELETE", self._path(resource.namespace, resource.name), body)
        except NotFound:
            return

    async def annotate(self, resource: AnyResource, key: str, text: str | None) -> AnyResource:
        """Compare-and-swap: raises Conflict if the resource has changed since then. None removes the annotation."""
        meta = {"uid": resource.uid, "resourceVersion": resource.resource_version, "annotations": {key: text}}
        return await self._patched(resource, "", {"metadata": meta})

    async def write_status(self, resource: AnyResource, status: Status_contra) -> AnyResource:
        """Compare-and-swap: raises Conflict if the resource has changed since it was read. Returns the updated
        resource.

        Nothing is sent when the status is unchanged.
        """
        if status == resource.status:
            return resource
        body = {
            "metadata": {"resourceVersion": resource.resource_version},
            "status": status_patch(resource.status, status),
        }
        return await self._patched(resource, "/status", body)

    async def _patched(self, resource: AnyResource, subresource: str, body: Json) -> AnyResource:
        path = f"{self._path(resource.namespace, resource.name)}{subresource}"
        found = self._parse(await self._api.write("PATCH", path, body, MERGE_PATCH))
        if not isinstance(found, type(resource)):
            raise Unreadable("its spec was changed in the meantime, and with it whether this release can read it")
        return found

    def _path(self, namespace: str | None, name: str = "") -> str:
        return paths.custom(self._plural, namespace, name)

    def _items(self, namespace: str | None) -> AsyncIterator[Json]:
        return each_item(self._api, self._path(namespace), {})


class Backups(CustomResources[AnyBackup, BackupStatus]):
    def __init__(self, connection: Api) -> None:
        super().__init__(connection, PLURAL, backup_of)

    async def unsettled(self, namespace: str | None) -> AsyncIterator[Key]:
        """Keys of the resources that a pass has something to do for. The others, perhaps thousands, are not parsed."""
        async for item in self._items(namespace):
            if not is_settled(item) and readable(item):
                yield Key(KIND, item["metadata"]["namespace"], item["metadata"]["name"])

    async def unfinished(self, namespace: str) -> list[Unfinished]:
        """The unfinished runs, including those at work."""
        return [
            Unfinished(
                owner=Owner(KIND, namespace, item["metadata"]["name"], item["metadata"]["uid"]),
                target=target,
                created=datetime.fromisoformat(item["metadata"]["creationTimestamp"]),
                deleting="deletionTimestamp" in item["metadata"],
            )
            async for item in self._items(namespace)
            if not is_over(item) and not is_schedule(item) and (target := target_of(item))
        ]

    async def stored_beside(self, run: BackupRun) -> AsyncIterator[Backup]:
        """The other finished runs of the same database and storage."""
        async for item in self._items(run.namespace):
            is_other = item["metadata"]["uid"] != run.uid and is_finished(item)
            if is_other and target_of(item) == run.target and is_in_storage(item, run):
                other = readable(item)
                if isinstance(other, Backup):
                    yield other

    async def set_finalizer(self, resource: Resource, *, present: bool) -> None:
        """Compare-and-swap. The finalizers of others are kept."""
        path = self._path(resource.namespace, resource.name)
        try:
            meta = (await self._api.read(path))["metadata"]
            others = [name for name in meta.get("finalizers", ()) if name != labels.FINALIZER]
            kept = [*others, labels.FINALIZER] if present else others
            body = {"metadata": {"uid": resource.uid, "resourceVersion": meta["resourceVersion"], "finalizers": kept}}
            await self._api.write("PATCH", path, body, MERGE_PATCH)
        except NotFound:
            return

    async def release_finalizers(self, namespace: str) -> None:
        """Take our finalizers off in a terminating namespace, where no Job that removes a bundle can be created."""
        async for item in self._items(namespace):
            found = readable(item)
            if found and found.deleting and found.has_finalizer:
                await self.set_finalizer(found, present=False)

    async def of_schedule(self, schedule: Schedule | UnreadableSchedule) -> list[Backup]:
        """The schedule's readable runs, finished ones included.

        Runs that came back from a restore count too: the schedule of their name had another UID when it created them.
        """
        query = {"labelSelector": labels.of_schedule(schedule.name)}
        path = self._path(schedule.namespace)
        found = [readable(item) async for item in each_item(self._api, path, query)]
        runs = [run for run in found if isinstance(run, Backup)]
        return [run for run in runs if run.schedule_uid == schedule.uid or (run.came_back and run.is_over)]

    async def ensure(self, manifest: Json) -> Backup:
        """Create the run of a schedule, or adopt the run of this name that the same schedule created before."""
        meta = manifest["metadata"]
        try:
            made = backup_of(await self._api.write("POST", self._path(meta["namespace"]), manifest))
        except AlreadyExists:
            made = backup_of(await self._api.read(self._path(meta["namespace"], meta["name"])))
        if not isinstance(made, Backup) or made.schedule_uid != meta["labels"][labels.SCHEDULE_UID]:
            raise NameTaken(f"QuoteNodeBackup {made.name} exists and is not this schedule's")
        return made

    async def mark_finished(self, run: AnyResource, mark: FinishedMark) -> AnyResource:
        return await self.annotate(run, labels.FINISHED, mark.model_dump_json(by_alias=True, exclude_none=True))
