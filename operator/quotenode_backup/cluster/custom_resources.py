"""Everything the operator asks of the API server about QuoteNodeBackups, one method each. The rest is in `gateway`."""

import re
from collections.abc import AsyncIterator

from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.finished_mark import FinishedMark
from quotenode_backup.cluster import paths
from quotenode_backup.cluster.connection import MERGE_PATCH, Connection, Json
from quotenode_backup.cluster.errors import AlreadyExists, NameTaken, NotFound
from quotenode_backup.cluster.objects import Run
from quotenode_backup.cluster.parsing import (
    is_at_rest,
    is_finished,
    is_in_storage,
    is_of_target,
    is_over,
    is_schedule,
    readable,
    run_of,
    status_patch,
)
from quotenode_backup.manifests import labels

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class CustomResources:
    def __init__(self, connection: Connection) -> None:
        self._api = connection

    async def read_run(self, namespace: str, name: str) -> Run | None:
        """None when there is none, and for what can't be a name: it may come from a Lease that anybody wrote."""
        if not NAME.fullmatch(name):
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

    async def rivals_of(self, run: Run) -> AsyncIterator[Run]:
        """The other runs of the same database in the namespace that are still to end. Only those are parsed: a namespace can hold thousands."""
        async for item in self._items(paths.runs(run.namespace), {}):
            is_rival = item["metadata"]["uid"] != run.uid and is_of_target(item, run)
            is_rival = is_rival and not is_over(item) and not is_schedule(item)
            if is_rival and (rival := readable(item)):
                yield rival

    async def runs_of_schedule(self, schedule: Run) -> list[Run]:
        """Finished ones too, as far as they can be read, and those that a schedule of this name made before both were restored."""
        query = {"labelSelector": labels.of_schedule(schedule.name)}
        found = [readable(item) async for item in self._items(paths.runs(schedule.namespace), query)]
        return [run for run in found if run and (run.schedule_uid == schedule.uid or (run.came_back and run.is_over))]

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

    async def annotate(self, run: Run, key: str, text: str | None) -> Run:
        """Compare-and-swap: raises Conflict when the resource is not what was read. None takes the annotation off."""
        meta = {"uid": run.uid, "resourceVersion": run.resource_version, "annotations": {key: text}}
        answer = await self._api.write("PATCH", paths.runs(run.namespace, run.name), {"metadata": meta}, MERGE_PATCH)
        return run_of(answer)

    async def mark_finished(self, run: Run, mark: FinishedMark) -> Run:
        return await self.annotate(run, labels.FINISHED, mark.model_dump_json(by_alias=True, exclude_none=True))

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

    async def _items(self, path: str, query: dict[str, str]) -> AsyncIterator[Json]:
        async for page in self._api.pages(path, query):
            for item in page["items"]:
                yield item
