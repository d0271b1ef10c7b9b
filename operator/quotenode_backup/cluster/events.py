"""Requests about Events. A verb that is new here must be added to `permissions`."""

from quotenode_backup.cluster import paths
from quotenode_backup.cluster.connection import Api, Json, each_item
from quotenode_backup.cluster.errors import AlreadyExists
from quotenode_backup.cluster.parsing import time_of_event


class Events:
    def __init__(self, connection: Api) -> None:
        self._api = connection

    async def newest_warning(self, namespace: str, kind: str, name: str, reason: str) -> str:
        """Message of the newest Event about the object with this reason; empty when there is none."""
        query = {"fieldSelector": f"involvedObject.kind={kind},involvedObject.name={name},reason={reason}"}
        events = [item async for item in each_item(self._api, paths.core(namespace, "events"), query)]
        events.sort(key=time_of_event)
        return str(events[-1].get("message", "")) if events else ""

    async def post(self, event: Json) -> None:
        """Post an Event, unless it has been posted before."""
        path = f"/apis/events.k8s.io/v1/namespaces/{event['metadata']['namespace']}/events"
        try:
            await self._api.write("POST", path, event)
        except AlreadyExists:
            return
