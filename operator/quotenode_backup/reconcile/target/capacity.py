"""How many resources may be at work at a time, and how often those that wait for a place ask again.

All of this is only in memory and can be lost: each resource at work holds a Lease, and the Leases are counted again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.cluster.leases import Leases
from quotenode_backup.domain.naming import digest
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.reconcile.reporting.requeue import POLL_EXTERNAL
from quotenode_backup.reconcile.target.shared_read import SharedRead

SPREAD_SECONDS = 24
ASKED_PER_SECOND = 20
"""How often all waiting resources together ask, however many there are: each time the API server lists the Leases."""

Holder = tuple[str, str]
"""Namespace and UID. Several Leases with the same holder count once, since others may write Leases too."""


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """At most `most` resources may be at work at a time; 0: any number. `scopes`: namespaces; None: all of them."""

    most: int = 0
    scopes: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True)
class AtCapacity:
    """As many resources are at work as are allowed."""

    count: int
    requeue_after: timedelta = POLL_EXTERNAL

    @property
    def sentence(self) -> str:
        backups = "1 backup is" if self.count == 1 else f"{self.count} backups are"
        return (
            f"{backups} running, and controller.maxConcurrentRuns allows no more: "
            "this one starts by itself as soon as there is room"
        )


def spread(uid: str, crowd: int) -> timedelta:
    """How much later than the shortest pause a waiting resource asks again.

    It follows from the UID, so that waiting resources don't all ask at once and keep their order after a restart.
    """
    share = int(digest(uid), 16) % 1000 / 1000
    return timedelta(seconds=share * max(SPREAD_SECONDS, 2 * crowd / ASKED_PER_SECOND))


class CapacityGate:
    def __init__(self, leases: Leases, limit: ConcurrencyLimit) -> None:
        self._leases = leases
        self._limit = limit
        self._read = SharedRead(self._holders)
        self._taking: dict[Holder, int | None] = {}
        """Resources that may take a lock, whose Leases the newest read may have missed, and the number of the read that
        was the newest when the Lease was written; None: it is not written yet.
        """
        self._closed: tuple[datetime, int] | None = None
        self._crowd: set[Key] = set()

    def lately_closed(self, owner: Owner, now: datetime) -> AtCapacity | None:
        """The newest count, if it was at the limit and is younger than the shortest pause. None: there may be room."""
        if self._closed and timedelta(0) <= now - self._closed[0] < POLL_EXTERNAL:
            return self._turned_away(owner, self._closed[1])
        return None

    async def enter(self, owner: Owner, now: datetime) -> AtCapacity | None:
        """None: the owner may take its lock. The caller must then report with `taken` or `withdrawn` whether it did."""
        if not self._limit.most:
            return None
        count = await self._count()
        self._closed = (now, count) if count >= self._limit.most else None
        if self._closed:
            return self._turned_away(owner, count)
        self._crowd.discard(owner.key)
        self._taking[owner.namespace, owner.uid] = None
        return None

    def taken(self, owner: Owner) -> None:
        """The owner has its lock, so its Lease is in every read that begins from now on."""
        if (owner.namespace, owner.uid) in self._taking:
            self._taking[owner.namespace, owner.uid] = self._read.begun

    def withdrawn(self, owner: Owner) -> None:
        """The owner does not take its lock in this pass."""
        self._taking.pop((owner.namespace, owner.uid), None)

    def forget(self, key: Key) -> None:
        """The resource of this name, if there is one, does not wait for a place."""
        self._crowd.discard(key)

    def turns_away(self, owner: Owner) -> bool:
        """Whether a waiting resource should ask again later: waiting for the read under way would occupy a worker."""
        return owner.key in self._crowd and self._read.is_under_way

    def _turned_away(self, owner: Owner, count: int) -> AtCapacity:
        self._crowd.add(owner.key)
        return AtCapacity(count, POLL_EXTERNAL + spread(owner.uid, len(self._crowd)))

    async def _count(self) -> int:
        """How many resources are at work, or about to be."""
        number, held = await self._read()
        self._taking = {one: newest for one, newest in self._taking.items() if newest is None or newest >= number}
        return len(held | self._taking.keys())

    async def _holders(self) -> frozenset[Holder]:
        held = [
            (lease.namespace, lease.holder.uid)
            for scope in self._limit.scopes
            async for lease in self._leases.each(scope)
            if lease.holder
        ]
        return frozenset(held)
