"""All requests of the operator to the API server, grouped by kind of object."""

from quotenode_backup.cluster import paths
from quotenode_backup.cluster.backups import Backups
from quotenode_backup.cluster.connection import Api
from quotenode_backup.cluster.errors import NotFound, Refused
from quotenode_backup.cluster.events import Events
from quotenode_backup.cluster.jobs import Jobs
from quotenode_backup.cluster.leases import Leases
from quotenode_backup.cluster.pods import Pods
from quotenode_backup.cluster.restores import Restores
from quotenode_backup.cluster.workloads import Workloads


class Cluster:
    def __init__(self, connection: Api) -> None:
        self._api = connection
        self.backups = Backups(connection)
        self.restores = Restores(connection)
        self.jobs = Jobs(connection)
        self.pods = Pods(connection)
        self.leases = Leases(connection)
        self.events = Events(connection)
        self.workloads = Workloads(connection)

    async def is_terminating(self, namespace: str) -> bool:
        """Whether the namespace is being deleted. False when the operator may not read it."""
        try:
            return "deletionTimestamp" in (await self._api.read(paths.namespace(namespace)))["metadata"]
        except (NotFound, Refused):
            return False
