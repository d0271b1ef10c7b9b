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

WAITING_AT_MOST = 8
"""For one look. It takes a while among thousands of resources, and each that waits for it keeps a worker from everything else."""

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


@dataclass(frozen=True, slots=True)
class NotNow:
    """Enough others are asking at the moment. Nothing is known."""

    requeue_after: timedelta = POLL_EXTERNAL


def spread(uid: str, crowd: int) -> timedelta:
    """Those that wait do not all ask at once, and each asks at its own moment, in the same order after a restart."""
    share = int(digest(uid), 16) % 1000 / 1000
    return timedelta(seconds=share * max(SPREAD_SECONDS, 2 * crowd / ASKED_PER_SECOND))


class CapacityGate:
    def __init__(self, leases: Leases, limit: ConcurrencyLimit) -> None:
        self._leases = leases
        self._limit = limit
        self._look = SharedLook(self._holders)
        self._held: frozenset[Holder] = frozenset()
        """Who held a lock at the last look."""
        self._taking: dict[Holder, int | None] = {}
        """Who takes a lock, or took it, and may not be in that look: with the number of the look that was the newest when the Lease was
        written, or None while it is still to be written."""
        self._closed: tuple[datetime, int] | None = None
        self._crowd: set[Key] = set()

    async def full(self, owner: Owner, now: datetime) -> AtCapacity | NotNow | None:
        """None: there may be room for one more. What the last look found is good for as long as nobody asks again anyway."""
        if not self._limit.most:
            return None
        if self._closed and timedelta(0) <= now - self._closed[0] < POLL_EXTERNAL:
            return self._turned_away(owner, self._closed[1])
        if self._look.waiting >= WAITING_AT_MOST:
            return NotNow()
        number, self._held = await self._look()
        self._taking = {one: seen for one, seen in self._taking.items() if seen is None or seen >= number}
        return self._at_capacity(owner, now)

    def reserve(self, owner: Owner, now: datetime) -> AtCapacity | None:
        """None: the owner may take its lock now, and must say with `settled` or `withdrawn` what came of that.

        Whoever took a lock since the last look began is still counted among those that are taking theirs.
        """
        if not self._limit.most:
            return None
        full = self._at_capacity(owner, now)
        if full is None:
            self._crowd.discard(owner.key)
            self._taking[owner.namespace, owner.uid] = None
        return full

    def settled(self, owner: Owner) -> None:
        """It has its lock, or nobody knows: the next look that begins tells."""
        if (owner.namespace, owner.uid) in self._taking:
            self._taking[owner.namespace, owner.uid] = self._look.begun

    def withdrawn(self, owner: Owner) -> None:
        """It did not get its lock."""
        self._taking.pop((owner.namespace, owner.uid), None)
        self._closed = None

    def forget(self, key: Key) -> None:
        """Nothing of this name waits."""
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
            if lease.holder
        ]
        return frozenset(held)
