"""How a resource gets the lock of its database: nobody else has it, nobody older waits for it, and there is capacity."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from quotenode_backup.api.backup import KIND
from quotenode_backup.cluster.custom_resources import Unfinished
from quotenode_backup.cluster.errors import AlreadyExists, Conflict, Refused, Unreadable
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Lease, Stopped
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.reconcile.target import lock
from quotenode_backup.reconcile.target.capacity import WAITING_AT_MOST, AtCapacity, CapacityGate, NotNow
from quotenode_backup.reconcile.target.shared_look import SharedLook
from quotenode_backup.reconcile.target.wind_down import Holders, WindDown


@dataclass(frozen=True, slots=True)
class LockHeld:
    """Why the lock is not to be had now."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who wants the lock, of what."""

    owner: Owner
    target: Target
    created: datetime
    stopped: Stopped | None
    """What it stopped when it had the lock before."""

    def yields_to(self, other: Unfinished) -> bool:
        """Whether the other comes first."""
        return (other.created, other.owner.uid) < (self.created, self.owner.uid)


class LockAcquirer:
    def __init__(self, cluster: Cluster, holders: Holders, wind_down: WindDown, gate: CapacityGate) -> None:
        self._cluster = cluster
        self._holders = holders
        self._wind_down = wind_down
        self._gate = gate
        self._looks: dict[str, SharedLook[list[Unfinished]]] = {}

    async def acquire(self, one: Applicant, now: datetime) -> LockHeld | AtCapacity | NotNow | None:
        """None when it has the lock. Oldest first; a loser of a race simply asks again."""
        # Before the rivals: there can be thousands of resources to look through for those.
        full = await self._gate.full(one.owner, now)
        if full:
            return full
        found = await lock.read(self._cluster, one.target)
        if found and found.is_held_by(one.owner):
            return None
        if found and found.holder and not await self._wind_down.is_abandoned(found):
            return LockHeld(_held_by(found.holder))
        older = await self._older_rival(one)
        return older or self._gate.reserve(one.owner, now) or await self._take(one, found, now)

    def forget(self, key: Key) -> None:
        """Nothing of this name waits for a lock."""
        self._gate.forget(key)

    async def _take(self, one: Applicant, found: Lease | None, now: datetime) -> LockHeld | None:
        held: LockHeld | None = None
        try:
            held = await self._taken(one, found, now)
        finally:  # an error leaves open whether the Lease was written
            if held:
                self._gate.withdrawn(one.owner)
            else:
                self._gate.settled(one.owner)
        return held

    async def _taken(self, one: Applicant, found: Lease | None, now: datetime) -> LockHeld | None:
        try:
            if found:
                found = await self._wind_down.start_stopped(found, now)
            await lock.take(self._cluster, one.owner, one.target, found, one.stopped, now)
        except (AlreadyExists, Conflict):
            return LockHeld("Another backup of the same database was a moment faster: asking again")
        except Refused as exc:
            if found and found.stopped:
                return LockHeld(_not_started(found.holder.name if found.holder else "an earlier backup", exc))
            return LockHeld(f"Waiting: the Lease that is the database's lock can't be written ({exc}). Allow it")
        return None

    async def _older_rival(self, one: Applicant) -> LockHeld | NotNow | None:
        """The oldest that waits for the same database, if it is older."""
        look = self._look_at(one.owner.namespace)
        if look.waiting >= WAITING_AT_MOST:
            return NotNow()
        _, unfinished = await look()
        if not look.waiting:
            self._looks.pop(one.owner.namespace, None)
        older = [
            other for other in unfinished if other.target == one.target and not other.deleting and one.yields_to(other)
        ]
        for rival in sorted(older, key=lambda other: (other.created, other.owner.uid)):
            if await self._still_waits(rival.owner):
                return LockHeld(f"Waiting for {rival.owner.name}, which is older and waits for the same database")
        return None

    def _look_at(self, namespace: str) -> SharedLook[list[Unfinished]]:
        return self._looks.setdefault(namespace, SharedLook(partial(self._holders.unfinished, namespace)))

    async def _still_waits(self, rival: Owner) -> bool:
        """One that can't be read is nobody to wait for: it may stay so for ever."""
        try:
            return not await self._holders.is_over(rival)
        except Unreadable:
            return False


def _held_by(holder: Owner) -> str:
    if holder.kind == KIND:
        return f"Waiting for {holder.name}, which is backing up the same database"
    return f"Waiting for {holder.kind} {holder.name}, which has locked the same database"


def _not_started(whose: str, answer: Refused) -> str:
    return f"Waiting: the application that {whose} stopped can't be started again ({answer}). Scale it by hand"
