"""How a lock is given back: first everything that was stopped is started again, then the Lease is freed.

Locks are given back only here. The holder may be finished or gone. A holder of a kind that only a later release knows
never counts as gone.
"""

from datetime import datetime
from typing import Protocol

from quotenode_backup.cluster.custom_resources import Unfinished
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Lease, Run, Stopped
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.reconcile.target import lock, workloads


class Holders(Protocol):
    """What only the code for the holder's kind can know about a holder."""

    async def is_over(self, owner: Owner) -> bool:
        """Whether the holder has finished, or does not exist. False for a kind that this release does not know.

        Raises Unreadable when it can't be told.
        """

    async def unfinished(self, namespace: str) -> list[Unfinished]:
        """The unfinished resources that are about a database of this namespace."""

    async def may_start(self, owner: Owner) -> bool:
        """Whether the application of a holder that is gone may be started although its pods may still be at work."""

    async def is_at_work(self, owner: Owner) -> bool:
        """Whether a Job or pod of the holder can still touch the database or the files."""


class WindDown:
    def __init__(self, cluster: Cluster, holders: Holders) -> None:
        self._cluster = cluster
        self._holders = holders

    async def start(self, namespace: str, stopped: Stopped) -> None:
        """Start what was stopped when no Lease records it any more."""
        await workloads.scale_up(self._cluster, namespace, stopped)

    async def start_stopped(self, lease: Lease, now: datetime) -> Lease:
        """Start whatever the Lease records as stopped, then remove the record. Returns the new Lease."""
        if lease.stopped is None:
            return lease
        await workloads.scale_up(self._cluster, lease.namespace, lease.stopped)
        return await lock.forget_stopped(self._cluster, lease, now)

    async def start_abandoned(self, lease: Lease, now: datetime) -> None:
        """Start what the Lease records as stopped, unless its holder still needs it down."""
        if await self.is_abandoned(lease):
            await self.start_stopped(lease, now)

    async def release(self, run: Run, now: datetime) -> None:
        """Give the lock back, if the run holds it."""
        lease = await lock.of_run(self._cluster, run)
        if lease and lease.is_held_by(run.owner):
            await self._release(lease, now)

    async def release_absent(self, key: Key, now: datetime, but_for: str = "") -> bool:
        """Give back the locks of earlier resources of this kind and name, after starting what they stopped.

        `but_for`: UID of the resource that has the name now. False: a pod of an earlier resource may still be at work.
        """
        all_free = True
        async for found in self._cluster.leases.each(key.namespace):
            if found.holder is None or found.holder.key != key or found.holder.uid == but_for:
                continue
            if not await self._holders.may_start(found.holder):
                all_free = False
                continue
            lease = await self.start_stopped(found, now)
            if await self.is_abandoned(lease):
                await lock.give_back(self._cluster, lease, now)
            else:
                all_free = False
        return all_free

    async def is_abandoned(self, lease: Lease) -> bool:
        """Whether the holder is finished or gone, and none of its pods can still be at work."""
        holder = lease.holder
        if holder is None:
            return True
        if not await self._holders.is_over(holder):
            return False
        return lease.break_for == holder.uid or not await self._holders.is_at_work(holder)

    async def _release(self, lease: Lease, now: datetime) -> None:
        await lock.give_back(self._cluster, await self.start_stopped(lease, now), now)
