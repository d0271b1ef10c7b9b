"""Requests about our custom resources of any kind. A verb that is new here must be added to `permissions`."""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from quotenode_backup.api.finished_mark import FinishedMark
from quotenode_backup.api.run_status import RunStatus
from quotenode_backup.cluster import paths
from quotenode_backup.cluster.connection import MERGE_PATCH, Api, Json, each_item
from quotenode_backup.cluster.errors import NotFound, Unreadable
from quotenode_backup.cluster.objects import Resource
from quotenode_backup.cluster.resource_parsing import is_over, status_patch
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels

logger = logging.getLogger(__name__)

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


class CustomResources(ABC, Generic[Parsed_co, Status_contra]):
    """The resources of one kind."""

    kind: ClassVar[str]
    plural: ClassVar[str]
    finalizer: ClassVar[str]

    def __init__(self, connection: Api) -> None:
        self._api = connection

    @abstractmethod
    def parse(self, item: Json) -> Parsed_co:
        """Raises Unreadable when the status does not fit our types."""

    @abstractmethod
    def is_settled(self, item: Json) -> bool:
        """Whether a pass over the resource would have nothing to do."""

    @abstractmethod
    def target_of(self, item: Json) -> Target | None:
        """The database that the resource locks while it is unfinished. None: none, or nobody can tell."""

    async def read(self, namespace: str, name: str) -> Parsed_co | None:
        """None when the resource does not exist, or the name is invalid, as one from a Lease of others may be."""
        if not NAME.fullmatch(name):
            return None
        try:
            return self.parse(await self._api.read(self._path(namespace, name)))
        except NotFound:
            return None

    async def unsettled(self, namespace: str | None) -> AsyncIterator[Key]:
        """Keys of the resources that a pass has something to do for. The others, perhaps thousands, are not parsed."""
        async for item in self._items(namespace):
            if not self.is_settled(item) and self._readable(item):
                yield Key(self.kind, item["metadata"]["namespace"], item["metadata"]["name"])

    async def unfinished(self, namespace: str) -> list[Unfinished]:
        """The unfinished runs, including those at work."""
        return [
            Unfinished(
                owner=Owner(self.kind, namespace, item["metadata"]["name"], item["metadata"]["uid"]),
                target=target,
                created=datetime.fromisoformat(item["metadata"]["creationTimestamp"]),
                deleting="deletionTimestamp" in item["metadata"],
            )
            async for item in self._items(namespace)
            if not is_over(item) and (target := self.target_of(item))
        ]

    async def set_finalizer(self, resource: Resource, *, present: bool) -> None:
        """Compare-and-swap. The finalizers of others are kept."""
        path = self._path(resource.namespace, resource.name)
        try:
            meta = (await self._api.read(path))["metadata"]
            others = [name for name in meta.get("finalizers", ()) if name != self.finalizer]
            kept = [*others, self.finalizer] if present else others
            body = {"metadata": {"uid": resource.uid, "resourceVersion": meta["resourceVersion"], "finalizers": kept}}
            await self._api.write("PATCH", path, body, MERGE_PATCH)
        except NotFound:
            return

    async def release_finalizers(self, namespace: str) -> None:
        """Take our finalizers off in a terminating namespace, where no Job that removes something can be created."""
        async for item in self._items(namespace):
            found = self._readable(item)
            if found and found.deleting and found.has_finalizer:
                await self.set_finalizer(found, present=False)

    async def annotate(self, resource: AnyResource, key: str, text: str | None) -> AnyResource:
        """Compare-and-swap: raises Conflict if the resource has changed since then. None removes the annotation."""
        meta = {"uid": resource.uid, "resourceVersion": resource.resource_version, "annotations": {key: text}}
        return await self._patched(resource, "", {"metadata": meta})

    async def mark_finished(self, run: AnyResource, mark: FinishedMark) -> AnyResource:
        return await self.annotate(run, labels.FINISHED, mark.model_dump_json(by_alias=True, exclude_none=True))

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
        found = self.parse(await self._api.write("PATCH", path, body, MERGE_PATCH))
        if not isinstance(found, type(resource)):
            raise Unreadable("its spec was changed in the meantime, and with it whether this release can read it")
        return found

    def _readable(self, item: Json) -> Parsed_co | None:
        """None when the resource can't be read, so that it does not hide the others in a list."""
        try:
            return self.parse(item)
        except Unreadable as exc:
            logger.warning("%s/%s: %s", item["metadata"]["namespace"], item["metadata"]["name"], exc)
            return None

    def _items(self, namespace: str | None) -> AsyncIterator[Json]:
        return each_item(self._api, self._path(namespace), {})

    def _path(self, namespace: str | None, name: str = "") -> str:
        return paths.custom(self.plural, namespace, name)
