"""How somebody leaves a database that was locked: first what was stopped is started again, then the lock is given back.

The one owner of both. A holder may be gone, finished, or of a kind that only a later release knows: such a one is never taken for gone.
"""

from datetime import datetime
from typing import Protocol

from quotenode_backup.cluster.custom_resources import Unfinished
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Lease, Run, Stopped
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.reconcile.target import lock, workloads


class Holders(Protocol):
    """What only the life of a holder's kind can say about it."""

    async def is_over(self, owner: Owner) -> bool:
        """Whether it has finished, or is gone. False for one of a kind that this release does not know.

        Raises Unreadable when it can't be told.
        """

    async def unfinished(self, namespace: str) -> list[Unfinished]:
        """Whatever is about a database of this namespace and has yet to end."""

    async def is_at_work(self, owner: Owner) -> bool:
        """Whether a Job or pod of it can still touch the database or the files."""


class WindDown:
    def __init__(self, cluster: Cluster, holders: Holders) -> None:
        self._cluster = cluster
        self._holders = holders

    async def start(self, namespace: str, stopped: Stopped) -> None:
        """What no Lease remembers any more."""
        await workloads.scale_up(self._cluster, namespace, stopped)

    async def start_stopped(self, lease: Lease, now: datetime) -> Lease:
        """Start whatever the Lease says was stopped, and have it forget that. The Lease as it is then."""
        if lease.stopped is None:
            return lease
        await workloads.scale_up(self._cluster, lease.namespace, lease.stopped)
        return await lock.forget_stopped(self._cluster, lease, now)

    async def release(self, run: Run, now: datetime) -> None:
        """Give the lock back, if the run has it."""
        lease = await lock.of_run(self._cluster, run)
        if lease and lease.is_held_by(run.owner):
            await self._release(lease, now)

    async def release_absent(self, key: Key, now: datetime, but_for: str = "") -> bool:
        """Give back what resources of this kind and name held that are gone; `but_for` is the UID of the one that is there. What they
        stopped is started at once. False: a pod of theirs still lives, so ask again."""
        all_free = True
        async for found in self._cluster.leases.each(key.namespace):
            if found.holder is None or found.holder.key != key or found.holder.uid == but_for:
                continue
            lease = await self.start_stopped(found, now)
            if await self.is_abandoned(lease):
                await lock.give_back(self._cluster, lease, now)
            else:
                all_free = False
        return all_free

    async def is_abandoned(self, lease: Lease) -> bool:
        """The holder is finished or gone, and no pod of it can still be at work."""
        holder = lease.holder
        if holder is None:
            return True
        if not await self._holders.is_over(holder):
            return False
        return lease.break_for == holder.uid or not await self._holders.is_at_work(holder)

    async def _release(self, lease: Lease, now: datetime) -> None:
        await lock.give_back(self._cluster, await self.start_stopped(lease, now), now)
