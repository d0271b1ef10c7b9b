"""The lock of a database: a Lease that is taken and given back by compare-and-swap, and never by the clock (J4, section 5.3 of
the model: with a time-based expiry a frozen process could come back and find its lock with another run)."""

from dataclasses import dataclass
from datetime import datetime

from quotenode_backup.cluster.errors import AlreadyExists, Conflict
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.views import Lease, Run
from quotenode_backup.domain.naming import lease_name
from quotenode_backup.manifests.lease import lease as lease_manifest


@dataclass(frozen=True, slots=True)
class Busy:
    """Another run has the lock, or is older and waits for it too."""

    holder: str


async def seen_lease(cluster: Cluster, run: Run) -> Lease | None:
    if run.spec is None:
        return None
    database = run.spec.database
    return await cluster.read_lease(run.namespace, lease_name(database.host, database.port, database.name))


async def claim(cluster: Cluster, run: Run, now: datetime) -> Busy | None:
    """Take the lock for the run: None when it has it. Oldest first; a loser of a race simply asks again."""
    found = await seen_lease(cluster, run)
    if found and found.holder_uid == run.uid:
        return None
    if found and found.holder_uid and not await _is_abandoned(cluster, run.namespace, found):
        return Busy(found.holder_name)
    ahead = await _older_rival(cluster, run)
    if ahead:
        return Busy(ahead.name)
    try:
        await _take(cluster, run, found, now)
    except (AlreadyExists, Conflict):
        return Busy("another backup, which was a moment faster")
    return None


async def _take(cluster: Cluster, run: Run, found: Lease | None, now: datetime) -> None:
    manifest = _manifest(run, found, run.uid, run.name, now)
    if found is None:
        await cluster.create_lease(manifest)
    else:
        await cluster.replace_lease(found, manifest)


async def release(cluster: Cluster, run: Run, now: datetime) -> None:
    """Give the lock back, if the run has it."""
    found = await seen_lease(cluster, run)
    if found and found.holder_uid == run.uid:
        await cluster.replace_lease(found, _manifest(run, found, "", "", now))


async def release_absent(cluster: Cluster, namespace: str, name: str, now: datetime) -> bool:
    """Give back what runs of this name held that are gone. False: a pod of theirs still lives, so ask again."""
    all_free = True
    async for _, found in cluster.each_lease(namespace):
        if not found.holder_uid or found.holder_name != name:
            continue
        if await _is_abandoned(cluster, namespace, found):
            await cluster.replace_lease(found, _freed(namespace, found, now))
        else:
            all_free = False
    return all_free


async def _is_abandoned(cluster: Cluster, namespace: str, lease: Lease) -> bool:
    """The holder is finished or gone, and no pod of it can still be at work."""
    holder = await cluster.read_run(namespace, lease.holder_name)
    if holder and holder.uid == lease.holder_uid and not holder.status.is_finished:
        return False
    if lease.break_for == lease.holder_uid:
        return True
    jobs = await cluster.jobs_of(namespace, lease.holder_uid)
    pods = await cluster.pods_of(namespace, lease.holder_uid)
    return all(job.is_finished for job in jobs) and all(pod.is_over for pod in pods)


async def _older_rival(cluster: Cluster, run: Run) -> Run | None:
    """The oldest other run that waits for the same database, if it is older than this one."""
    older = [
        rival
        async for rival in cluster.rivals_of(run)
        if not rival.deleting and (rival.created, rival.uid) < (run.created, run.uid)
    ]
    return min(older, key=lambda rival: (rival.created, rival.uid), default=None)


def _manifest(run: Run, found: Lease | None, uid: str, name: str, now: datetime) -> dict[str, object]:
    if run.spec is None:
        raise ValueError("a run without a valid spec has no lock")
    database = run.spec.database
    return lease_manifest(
        namespace=run.namespace,
        name=lease_name(database.host, database.port, database.name),
        target=f"{database.name} at {database.host}:{database.port}",
        holder_uid=uid,
        holder_name=name,
        transitions=(found.transitions if found else 0) + (1 if uid else 0),
        now=now,
    )


def _freed(namespace: str, found: Lease, now: datetime) -> dict[str, object]:
    return lease_manifest(
        namespace=namespace,
        name=found.name,
        target=found.target,
        holder_uid="",
        holder_name="",
        transitions=found.transitions,
        now=now,
    )
