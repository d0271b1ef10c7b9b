"""How many resources may work at a time, and how a crowd of them waits for its turn.

Only in memory, and safe to lose: a lock that is held is a Lease, and those are counted anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.cluster.leases import Leases
from quotenode_backup.domain.naming import digest
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.reconcile.reporting.requeue import POLL_EXTERNAL
from quotenode_backup.reconcile.target.shared_look import SharedLook

SPREAD_SECONDS = 24
ASKED_PER_SECOND = 20
"""By a crowd of any size: each question costs the API server something, and one of them suffices when there is room."""

Holder = tuple[str, str]
"""Namespace and UID. Leases that name the same one count once: anybody with the right can write them."""


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """How many may be at work in these namespaces at a time; None: in all of them together. `most` 0: any number."""

    most: int = 0
    scopes: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True)
class AtCapacity:
    """As many are at work as may be at a time."""

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
    """Those that wait do not all ask at once, and each asks at its own moment, in the same order after a restart."""
    share = int(digest(uid), 16) % 1000 / 1000
    return timedelta(seconds=share * max(SPREAD_SECONDS, 2 * crowd / ASKED_PER_SECOND))


class CapacityGate:
    def __init__(self, leases: Leases, limit: ConcurrencyLimit) -> None:
        self._leases = leases
        self._limit = limit
        self._look = SharedLook(self._holders)
        self._taking: dict[Holder, int | None] = {}
        """Who was let in and may not be in the last look yet: the number of the look that was the newest when its Lease was written."""
        self._closed: tuple[datetime, int] | None = None
        self._crowd: set[Key] = set()

    def lately_closed(self, owner: Owner, now: datetime) -> AtCapacity | None:
        """What the last look found is good for as long as nobody asks again anyway. None: there may be room."""
        if self._closed and timedelta(0) <= now - self._closed[0] < POLL_EXTERNAL:
            return self._turned_away(owner, self._closed[1])
        return None

    async def enter(self, owner: Owner, now: datetime) -> AtCapacity | None:
        """None: the owner may take its lock. Whether it did must be said by `taken` or `withdrawn`."""
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
        """It has its lock: the next look that begins sees it."""
        if (owner.namespace, owner.uid) in self._taking:
            self._taking[owner.namespace, owner.uid] = self._look.begun

    def withdrawn(self, owner: Owner) -> None:
        """It does not get its lock now, or does not want it any more."""
        self._taking.pop((owner.namespace, owner.uid), None)

    def forget(self, key: Key) -> None:
        """Nothing of this name waits."""
        self._crowd.discard(key)

    def turns_away(self, owner: Owner) -> bool:
        """Whether one of the crowd should come again instead of waiting for the look that is under way: it would keep a worker busy."""
        return owner.key in self._crowd and self._look.is_under_way

    def _turned_away(self, owner: Owner, count: int) -> AtCapacity:
        self._crowd.add(owner.key)
        return AtCapacity(count, POLL_EXTERNAL + spread(owner.uid, len(self._crowd)))

    async def _count(self) -> int:
        """How many are at work, or about to be."""
        number, held = await self._look()
        self._taking = {one: seen for one, seen in self._taking.items() if seen is None or seen >= number}
        return len(held | self._taking.keys())

    async def _holders(self) -> frozenset[Holder]:
        held = [
            (lease.namespace, lease.holder.uid)
            for scope in self._limit.scopes
            async for lease in self._leases.each(scope)
            if lease.holder
        ]
        return frozenset(held)
