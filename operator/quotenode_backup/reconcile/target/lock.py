"""The lock of a database: a Lease that is taken and given back by compare-and-swap, and never by the clock: with an expiry a frozen
process could come back and find its lock with another run.

What an offline run stopped is written on its Lease, since the run's own resource can be deleted in the middle, and in its status, since the
Lease can be. The Lease is not given back before that has been started again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from quotenode_backup.cluster.errors import AlreadyExists, Conflict, Refused
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Lease, Run, Stopped
from quotenode_backup.domain.naming import lease_name
from quotenode_backup.manifests.lease import Holder
from quotenode_backup.manifests.lease import lease as lease_manifest
from quotenode_backup.reconcile.target import workloads as application
from quotenode_backup.reconcile.target.workloads import known_stopped


@dataclass(frozen=True, slots=True)
class Busy:
    """Why the lock is not to be had now."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Full:
    """As many runs are on as may be at a time."""

    count: int

    @property
    def sentence(self) -> str:
        backups = "1 backup is" if self.count == 1 else f"{self.count} backups are"
        return (
            f"{backups} running, and controller.maxConcurrentRuns allows no more: "
            "this one starts by itself as soon as there is room"
        )


@dataclass(frozen=True, slots=True)
class Room:
    """How many runs may be on at a time in these namespaces; None: all of them at once. `most` 0: any number."""

    most: int = 0
    scopes: Sequence[str | None] = ()


ANY_NUMBER = Room()


async def seen_lease(cluster: Cluster, run: Run) -> Lease | None:
    if run.spec is None:
        return await _held_lease(cluster, run)
    database = run.spec.database
    return await cluster.read_lease(run.namespace, lease_name(database.host, database.port, database.name))


async def _held_lease(cluster: Cluster, run: Run) -> Lease | None:
    """Of a run whose spec can't be read any more, after a change of release in mid-run."""
    async for _, found in cluster.each_lease(run.namespace):
        if found.holder_uid == run.uid:
            return found
    return None


async def take(cluster: Cluster, run: Run, room: Room, now: datetime) -> Busy | Full | None:
    """Take the lock for the run: None when it has it. Oldest first; a loser of a race simply asks again."""
    found = await seen_lease(cluster, run)
    if found and found.holder_uid == run.uid:
        return None
    if found and found.holder_uid and not await _is_abandoned(cluster, run.namespace, found):
        return Busy(f"Waiting for {found.holder_name}, which is backing up the same database")
    # Before the rivals: there can be thousands of resources to look through for those.
    full = await no_room(cluster, room)
    if full:
        return full
    ahead = await _older_rival(cluster, run)
    if ahead:
        return Busy(f"Waiting for {ahead.name}, which is older and waits for the same database")
    try:
        await _write_taken(cluster, run, found, now)
    except (AlreadyExists, Conflict):
        return Busy("Another backup of the same database was a moment faster: asking again")
    except Refused as exc:
        if found and found.stopped:
            return Busy(cannot_start(found.holder_name, exc))
        return Busy(f"Waiting: the Lease that is the database's lock can't be written ({exc}). Allow it")
    return None


def cannot_start(whose: str, answer: Refused) -> str:
    return f"Waiting: the application that {whose} stopped can't be started again ({answer}). Scale it by hand"


async def stopper(cluster: Cluster, run: Run) -> str:
    """The name of another run that has an application of this namespace stopped; empty when there is none."""
    async for _, found in cluster.each_lease(run.namespace):
        if found.stopped and found.holder_uid != run.uid:
            return found.holder_name
    return ""


async def no_room(cluster: Cluster, room: Room) -> Full | None:
    """A run that has its lock is on. Leases that claim the same of one run count once: anybody with the right can write them."""
    if not room.most:
        return None
    held = {
        (namespace, found.holder_uid)
        for scope in room.scopes
        async for namespace, found in cluster.each_lease(scope)
        if found.holder_uid
    }
    return Full(len(held)) if len(held) >= room.most else None


async def _write_taken(cluster: Cluster, run: Run, found: Lease | None, now: datetime) -> None:
    if found is None:
        await cluster.create_lease(_manifest(run.namespace, _free(run), _holder(run), known_stopped(run), now))
        return
    found = await start_stopped(cluster, run.namespace, found, now)
    await cluster.replace_lease(found, _manifest(run.namespace, found, _holder(run), known_stopped(run), now))


async def remember_stopped(cluster: Cluster, run: Run, stopped: Stopped, now: datetime) -> None:
    """Write down what is about to be stopped, before it is."""
    found = await seen_lease(cluster, run)
    if found and found.holder_uid == run.uid and found.stopped is None:
        await cluster.replace_lease(found, _manifest(run.namespace, found, _holder(run), stopped, now))


async def start_stopped(cluster: Cluster, namespace: str, found: Lease, now: datetime) -> Lease:
    """Start again whatever the Lease says was stopped, and forget it. The Lease as it is then."""
    if found.stopped is None:
        return found
    await application.start(cluster, namespace, found.stopped)
    holder = Holder(found.holder_uid, found.holder_name)
    return await cluster.replace_lease(found, _manifest(namespace, found, holder, None, now))


async def release(cluster: Cluster, run: Run, now: datetime) -> None:
    """Give the lock back, if the run has it."""
    found = await seen_lease(cluster, run)
    if found and found.holder_uid == run.uid:
        found = await start_stopped(cluster, run.namespace, found, now)
        await cluster.replace_lease(found, _manifest(run.namespace, found, Holder(), None, now))


async def release_absent(cluster: Cluster, namespace: str, name: str, now: datetime, but_for: str = "") -> bool:
    """Give back what runs of this name held that are gone; `but_for` is the UID of the one that is there. False: a pod of theirs still
    lives, so ask again. What they stopped is started at once."""
    all_free = True
    async for _, found in cluster.each_lease(namespace):
        if not found.holder_uid or found.holder_name != name or found.holder_uid == but_for:
            continue
        lease = await start_stopped(cluster, namespace, found, now)
        if await _is_abandoned(cluster, namespace, lease):
            await cluster.replace_lease(lease, _manifest(namespace, lease, Holder(), None, now))
        else:
            all_free = False
    return all_free


async def _is_abandoned(cluster: Cluster, namespace: str, lease: Lease) -> bool:
    """The holder is finished or gone, and no pod of it can still be at work."""
    holder = await cluster.read_run(namespace, lease.holder_name)
    if holder and holder.uid == lease.holder_uid and not holder.is_over:
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


def _holder(run: Run) -> Holder:
    return Holder(run.uid, run.name)


def _free(run: Run) -> Lease:
    """The lock of the run's database as long as nobody has made it."""
    if run.spec is None:
        raise ValueError("a run without a valid spec has no lock")
    database = run.spec.database
    return Lease(
        name=lease_name(database.host, database.port, database.name),
        resource_version="",
        holder_uid="",
        holder_name="",
        target=f"{database.name} at {database.host}:{database.port}",
        transitions=0,
        break_for="",
    )


def _manifest(
    namespace: str, found: Lease, holder: Holder, stopped: Stopped | None, now: datetime
) -> dict[str, object]:
    is_new = bool(holder.uid) and holder.uid != found.holder_uid
    return lease_manifest(
        namespace=namespace,
        name=found.name,
        target=found.target,
        holder=holder,
        stopped=stopped.model_dump_json() if stopped else "",
        break_for=found.break_for if found.break_for == holder.uid else "",
        transitions=found.transitions + (1 if is_new else 0),
        now=now,
    )
