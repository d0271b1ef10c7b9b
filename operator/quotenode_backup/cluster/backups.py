"""Requests about QuoteNodeBackups."""

from collections.abc import AsyncIterator

from quotenode_backup.api.backup import KIND, PLURAL
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.cluster import backup_parsing
from quotenode_backup.cluster.connection import Json, each_item
from quotenode_backup.cluster.custom_resources import CustomResources
from quotenode_backup.cluster.errors import AlreadyExists, NameTaken, NotFound
from quotenode_backup.cluster.objects import AnyBackup, Backup, BackupRun, Resource, Schedule, UnreadableSchedule
from quotenode_backup.cluster.resource_parsing import is_finished
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels


class Backups(CustomResources[AnyBackup, BackupStatus]):
    kind = KIND
    plural = PLURAL
    finalizer = labels.FINALIZER

    def parse(self, item: Json) -> AnyBackup:
        return backup_parsing.backup_of(item)

    def is_settled(self, item: Json) -> bool:
        return backup_parsing.is_settled(item)

    def target_of(self, item: Json) -> Target | None:
        return None if backup_parsing.is_schedule(item) else backup_parsing.target_of(item)

    async def stored_beside(self, run: BackupRun) -> AsyncIterator[Backup]:
        """The other finished runs of the same database and storage."""
        async for item in self._items(run.namespace):
            is_other = item["metadata"]["uid"] != run.uid and is_finished(item)
            if is_other and self.target_of(item) == run.target and backup_parsing.is_in_storage(item, run):
                other = self._readable(item)
                if isinstance(other, Backup):
                    yield other

    async def of_schedule(self, schedule: Schedule | UnreadableSchedule) -> list[Backup]:
        """The schedule's readable runs, finished ones included.

        Runs that came back from a restore count too: the schedule of their name had another UID when it created them.
        """
        query = {"labelSelector": labels.of_schedule(schedule.name)}
        path = self._path(schedule.namespace)
        found = [self._readable(item) async for item in each_item(self._api, path, query)]
        runs = [run for run in found if isinstance(run, Backup)]
        return [run for run in runs if run.schedule_uid == schedule.uid or (run.came_back and run.is_over)]

    async def ensure(self, manifest: Json) -> Backup:
        """Create the run of a schedule, or adopt the run of this name that the same schedule created before."""
        meta = manifest["metadata"]
        try:
            made = self.parse(await self._api.write("POST", self._path(meta["namespace"]), manifest))
        except AlreadyExists:
            made = self.parse(await self._api.read(self._path(meta["namespace"], meta["name"])))
        if not isinstance(made, Backup) or made.schedule_uid != meta["labels"][labels.SCHEDULE_UID]:
            raise NameTaken(f"QuoteNodeBackup {made.name} exists and is not this schedule's")
        return made

    async def delete(self, resource: Resource) -> None:
        """Raises Conflict if the resource has changed since it was read."""
        body = {"preconditions": {"uid": resource.uid, "resourceVersion": resource.resource_version}}
        try:
            await self._api.write("DELETE", self._path(resource.namespace, resource.name), body)
        except NotFound:
            return
