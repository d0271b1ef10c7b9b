"""A namespace full of QuoteNodeBackups, as years of use leave it: schedules, their finished runs and finished one-offs."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from quotenode_backup.api import API_VERSION
from quotenode_backup.api.backup import KIND
from quotenode_backup.cluster.backup_parsing import backup_of, is_settled
from quotenode_backup.cluster.connection import MERGE_PATCH, Connection, configuration
from quotenode_backup.cluster.crash_point import CrashPoint
from quotenode_backup.cluster.finished_marks import mark_for
from quotenode_backup.cluster.objects import Backup
from quotenode_backup.manifests import labels
from tests.e2e.backups import a_backup

Json = dict[str, Any]

AT_ONCE = 24
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SPEC: Json = a_backup("one-of-the-crowd", pod=None)["spec"]


@asynccontextmanager
async def connected() -> AsyncIterator[Connection]:
    connection = Connection(await configuration(), CrashPoint(""))
    try:
        yield connection
    finally:
        await connection.close()


def path(namespace: str, name: str = "") -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/quotenodebackups" + (f"/{name}" if name else "")


async def fill(connection: Connection, namespace: str, schedules: int, runs: int) -> dict[str, str]:
    """Make so many schedules that rest, and so many finished runs: four of five are of a schedule. The UID of each schedule."""
    names = [f"schedule-{number:04d}" for number in range(schedules)]
    made = await _each(_make_schedule(connection, namespace, number, name) for number, name in enumerate(names))
    uids = dict(zip(names, made, strict=True))
    await _each(_make_run(connection, namespace, number, names, uids) for number in range(runs))
    return uids


async def schedule_all(connection: Connection, namespace: str, names: list[str], minutes: int) -> float:
    """Give all of them the same slot, so many minutes away, and a database and a user each. When that is, in seconds of the epoch.

    Their claims are made, so that a run which has room gets as far as a pod, which ends at once for lack of a Secret.
    """
    for claim in ("quotenode-files", "quotenode-backups"):
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": spec}
        await connection.write("POST", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", body)
    slot = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=minutes)
    await _each(_reschedule(connection, namespace, name, slot) for name in names)
    return slot.timestamp()


async def _reschedule(connection: Connection, namespace: str, name: str, slot: datetime) -> None:
    spec = {
        "schedule": f"{slot:%M %H} * * *",
        "suspend": False,
        "database": {"name": name},
        "pod": {"runAsUser": 1000},
    }
    await connection.write("PATCH", path(namespace, name), {"spec": spec}, MERGE_PATCH)


async def _each(tasks: Iterable[Any]) -> list[Any]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(task: Any) -> Any:
        async with room:
            return await task

    return list(await asyncio.gather(*map(one, tasks)))


async def _make_schedule(connection: Connection, namespace: str, number: int, name: str) -> str:
    """Half of them are suspended; the slot of the others is on New Year's Eve."""
    spec = SPEC | {"schedule": "0 0 31 12 *", "suspend": number % 2 == 0}
    made = await connection.write("POST", path(namespace), _body(name, spec, {}))
    return str(made["metadata"]["uid"])


async def _make_run(
    connection: Connection, namespace: str, number: int, names: list[str], uids: dict[str, str]
) -> None:
    name, owner = f"run-{number:05d}", names[number % len(names)]
    marks = {labels.MANAGED_BY: labels.MANAGER, labels.SCHEDULE: owner, labels.SCHEDULE_UID: uids[owner]}
    await connection.write("POST", path(namespace), _body(name, SPEC, marks if number % 5 else {}))
    done = {"status": _completed(number)}
    run = backup_of(await connection.write("PATCH", f"{path(namespace, name)}/status", done, MERGE_PATCH))
    assert isinstance(run, Backup)
    mark = mark_for(run).model_dump_json(by_alias=True, exclude_none=True)
    kept = {"metadata": {"annotations": {labels.FINISHED: mark}}}
    assert is_settled(await connection.write("PATCH", path(namespace, name), kept, MERGE_PATCH)), (
        "it was to be finished"
    )


def _body(name: str, spec: Json, marks: dict[str, str]) -> Json:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "labels": marks}, "spec": spec}


def _completed(number: int) -> Json:
    """As long as a real one."""
    start, end = (f"{BEGAN + timedelta(minutes=number + past):%Y-%m-%dT%H:%M:%SZ}" for past in (0, 5))
    words = "The bundle is on the volume and its checksum was read back from the disk"
    kinds = {"Accepted": "True", "Progressing": "False", "Complete": "True", "Verified": "True"}
    conditions = [
        {
            "type": kind,
            "status": held,
            "reason": "Completed",
            "message": words,
            "lastTransitionTime": end,
            "observedGeneration": 1,
        }
        for kind, held in (kinds | {"LocalBundlePresent": "True"}).items()
    ]
    attempt = {"number": 1, "jobName": f"qnb-backup-{number:020d}-01", "startTime": start, "completionTime": end}
    part = {"sizeBytes": 10**9, "checksum": "a" * 64}
    bundle = f"shop-{'b' * 24}/quotenode-backup-20260101-000000.tar.gz"
    return {
        "phase": "Completed",
        "initiatedBy": "Scheduler",
        "reason": "Completed",
        "message": words,
        "startTime": start,
        "completionTime": end,
        "sizeBytes": 2 * 10**9,
        "size": "1.9 GiB",
        "checksum": "c" * 64,
        "destinations": [{"type": "Local", "claimName": "quotenode-backups", "path": bundle}],
        "components": {"database": part, "files": part},
        "jobName": attempt["jobName"],
        "attempts": [attempt | {"reason": "Completed", "message": words, "exitCode": 0}],
        "conditions": conditions,
        "observedGeneration": 1,
    }
