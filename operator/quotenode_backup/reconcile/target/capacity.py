"""How many resources may be at work at a time, and how often those that wait for a place ask again.

All of this is only in memory and can be lost: each resource at work holds a Lease, and the Leases are counted again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.restore import KIND as RESTORE_KIND
from quotenode_backup.cluster.leases import Leases
from quotenode_backup.domain.naming import digest
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.reconcile.reporting.requeue import POLL_EXTERNAL
from quotenode_backup.reconcile.target.shared_read import SharedRead

SPREAD_SECONDS = 24
ASKED_PER_SECOND = 20
"""How often all waiting resources together ask, however many there are: each time the API server lists the Leases."""

WAITING_AT_MOST = 8
"""Callers of one read. Among thousands of resources a read takes seconds, and each caller that waits for it occupies a worker."""

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
        runs = "1 run is" if self.count == 1 else f"{self.count} runs are"
        return (
            f"{runs} at work, and controller.maxConcurrentRuns allows no more: "
            "this one starts by itself as soon as there is room"
        )


@dataclass(frozen=True, slots=True)
class NotNow:
    """Nothing is known yet: enough other callers wait for the same read at the moment, or the Lease has just changed."""

    requeue_after: timedelta = POLL_EXTERNAL


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
        self._held: frozenset[Holder] = frozenset()
        """The holders that the newest read found."""
        self._taking: dict[Holder, int | None] = {}
        """Resources that take a lock, or have taken one that the newest read may have missed, and the number of the read that
        was the newest when the Lease was written; None: it is not written yet.
        """
        self._closed: tuple[datetime, int] | None = None
        self._crowd: set[Key] = set()

    async def full(self, owner: Owner, now: datetime) -> AtCapacity | NotNow | None:
        """None: there may be room for one more. A count at the limit is good for as long as the shortest pause."""
        if not self._limit.most:
            return None
        if self._closed and timedelta(0) <= now - self._closed[0] < POLL_EXTERNAL:
            return self._turned_away(owner, self._closed[1])
        if self._read.waiting >= WAITING_AT_MOST:
            return NotNow()
        number, self._held = await self._read()
        self._taking = {one: newest for one, newest in self._taking.items() if newest is None or newest >= number}
        return self._at_capacity(owner, now)

    def reserve(self, owner: Owner, now: datetime) -> AtCapacity | None:
        """None: the owner may take its lock now. The caller must then report the outcome with `settled` or `withdrawn`.

        Every lock that was taken since the newest read began is still counted in `_taking`.
        """
        if not self._limit.most:
            return None
        full = self._at_capacity(owner, now)
        if full is None:
            self._crowd.discard(owner.key)
            self._taking[owner.namespace, owner.uid] = None
        return full

    def settled(self, owner: Owner) -> None:
        """The owner may have its lock: every read that begins from now on tells."""
        if (owner.namespace, owner.uid) in self._taking:
            self._taking[owner.namespace, owner.uid] = self._read.begun

    def withdrawn(self, owner: Owner) -> None:
        """The owner did not get its lock."""
        self._taking.pop((owner.namespace, owner.uid), None)
        self._closed = None

    def forget(self, key: Key) -> None:
        """The resource of this name, if there is one, does not wait for a place."""
        self._crowd.discard(key)

    def _at_capacity(self, owner: Owner, now: datetime) -> AtCapacity | None:
        count = len(self._held | self._taking.keys())
        self._closed = (now, count) if count >= self._limit.most else None
        return self._turned_away(owner, count) if self._closed else None

    def _turned_away(self, owner: Owner, count: int) -> AtCapacity:
        self._crowd.add(owner.key)
        return AtCapacity(count, POLL_EXTERNAL + spread(owner.uid, len(self._crowd)))

    async def _holders(self) -> frozenset[Holder]:
        held = [
            (lease.namespace, lease.holder.uid)
            for scope in self._limit.scopes
            async for lease in self._leases.each(scope)
            if lease.holder and lease.holder.kind != RESTORE_KIND
        ]
        return frozenset(held)
