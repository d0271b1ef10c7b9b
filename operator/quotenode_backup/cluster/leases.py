"""Requests about the Leases that are the operator's locks. A verb that is new here must be added to `permissions`."""

from collections.abc import AsyncIterator

from quotenode_backup.cluster import paths
from quotenode_backup.cluster.connection import Api, Json, each_item
from quotenode_backup.cluster.errors import NotFound
from quotenode_backup.cluster.objects import Lease
from quotenode_backup.cluster.parsing import lease_of
from quotenode_backup.manifests import labels


class Leases:
    def __init__(self, connection: Api) -> None:
        self._api = connection

    async def read(self, namespace: str, name: str) -> Lease | None:
        try:
            return lease_of(await self._api.read(paths.leases(namespace, name)))
        except NotFound:
            return None

    async def each(self, namespace: str | None) -> AsyncIterator[Lease]:
        """Every Lease of the operator. `namespace` None: in all namespaces."""
        async for item in each_item(self._api, paths.leases(namespace), {"labelSelector": labels.OURS}):
            yield lease_of(item)

    async def create(self, manifest: Json) -> Lease:
        """Raises AlreadyExists if somebody else created the Lease first."""
        return lease_of(await self._api.write("POST", paths.leases(manifest["metadata"]["namespace"]), manifest))

    async def replace(self, seen: Lease, manifest: Json) -> Lease:
        """Compare-and-swap: raises Conflict if the Lease has changed since it was read."""
        meta = manifest["metadata"] | {"resourceVersion": seen.resource_version}
        path = paths.leases(meta["namespace"], seen.name)
        return lease_of(await self._api.write("PUT", path, manifest | {"metadata": meta}))
