"""How a resource gets the lock of its database: it is free, no older resource waits for it, and there is capacity."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from quotenode_backup.api.backup import KIND
from quotenode_backup.api.restore import KIND as RESTORE_KIND
from quotenode_backup.cluster.custom_resources import Unfinished
from quotenode_backup.cluster.errors import AlreadyExists, Conflict, Refused, Unreadable
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Lease, Stopped
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.reconcile.reporting.requeue import NOW
from quotenode_backup.reconcile.target import lock
from quotenode_backup.reconcile.target.capacity import WAITING_AT_MOST, AtCapacity, CapacityGate, NotNow
from quotenode_backup.reconcile.target.shared_read import SharedRead
from quotenode_backup.reconcile.target.wind_down import Holders, WindDown


@dataclass(frozen=True, slots=True)
class LockHeld:
    """The lock can't be taken now, and `sentence` says why."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Applicant:
    """A resource that wants the lock of a database."""

    owner: Owner
    target: Target
    created: datetime
    stopped: Stopped | None
    """What the owner has stopped, if it had the lock before and its Lease was lost."""

    @property
    def is_urgent(self) -> bool:
        """Whether it goes before all that are not, and takes no place among them: somebody waits for his data."""
        return self.owner.kind == RESTORE_KIND

    def yields_to(self, other: Unfinished) -> bool:
        """Whether the other resource comes first, since it is a restore, or of the same kind and older."""
        return _order(other) < (not self.is_urgent, self.created, self.owner.uid)


class LockAcquirer:
    def __init__(self, cluster: Cluster, holders: Holders, wind_down: WindDown, gate: CapacityGate) -> None:
        self._cluster = cluster
        self._holders = holders
        self._wind_down = wind_down
        self._gate = gate
        self._reads: dict[str, SharedRead[list[Unfinished]]] = {}

    async def acquire(self, one: Applicant, now: datetime) -> LockHeld | AtCapacity | NotNow | None:
        """None when the applicant has the lock. The oldest one comes first; the loser of a race tries again later."""
        # The capacity comes before the rivals: finding those means going through what can be thousands of resources.
        full = None if one.is_urgent else await self._gate.full(one.owner, now)
        if full:
            return full
        found = await lock.read(self._cluster, one.target)
        if found and found.is_held_by(one.owner):
            return None
        if found and found.holder and not await self._wind_down.is_abandoned(found):
            return LockHeld(_held_by(found.holder))
        older = await self._older_rival(one)
        if older is None and one.is_urgent:
            return await self._taken(one, found, now)
        return older or self._gate.reserve(one.owner, now) or await self._take(one, found, now)

    def forget(self, key: Key) -> None:
        """The resource of this name, if there is one, does not wait for a lock."""
        self._gate.forget(key)

    async def _take(self, one: Applicant, found: Lease | None, now: datetime) -> LockHeld | NotNow | None:
        held: LockHeld | NotNow | None = None
        try:
            held = await self._taken(one, found, now)
        finally:  # after an error the Lease may have been written or not, so it counts as written
            if held:
                self._gate.withdrawn(one.owner)
            else:
                self._gate.settled(one.owner)
        return held

    async def _taken(self, one: Applicant, found: Lease | None, now: datetime) -> LockHeld | NotNow | None:
        """Raises Conflict if what is to be started first changes at the same moment."""
        try:
            if found:
                found = await self._wind_down.start_stopped(found, now)
            return await self._written(one, found, now)
        except Refused as exc:
            if found and found.stopped:
                return LockHeld(_not_started(found.holder.name if found.holder else "an earlier run", exc))
            return LockHeld(f"Waiting: the operator can't write the Lease that locks the database ({exc}). Allow it to")

    async def _written(self, one: Applicant, found: Lease | None, now: datetime) -> LockHeld | NotNow | None:
        """The Lease may change after it was read. Only if it has a new holder is there somebody to wait for: the earlier
        holder, which is finished or gone, may just have given the lock back.
        """
        try:
            await lock.take(self._cluster, one.owner, one.target, found, one.stopped, now)
        except (AlreadyExists, Conflict):
            changed = await lock.read(self._cluster, one.target)
            holder = changed.holder if changed else None
            if holder is None or holder in (one.owner, found and found.holder):
                return NotNow(NOW)
            return LockHeld(_held_by(holder))
        return None

    async def _older_rival(self, one: Applicant) -> LockHeld | NotNow | None:
        """The oldest resource that waits for the same database, unless that is the applicant."""
        read = self._read_of(one.owner.namespace)
        if read.waiting >= WAITING_AT_MOST:
            return NotNow()
        _, unfinished = await read()
        if not read.waiting:
            self._reads.pop(one.owner.namespace, None)
        older = [
            other for other in unfinished if other.target == one.target and not other.deleting and one.yields_to(other)
        ]
        for rival in sorted(older, key=_order):
            if await self._still_waits(rival.owner):
                return LockHeld(_waits_too(rival.owner))
        return None

    def _read_of(self, namespace: str) -> SharedRead[list[Unfinished]]:
        return self._reads.setdefault(namespace, SharedRead(partial(self._holders.unfinished, namespace)))

    async def _still_waits(self, rival: Owner) -> bool:
        """Whether the rival is unfinished. Nobody waits for a rival that can't be read, since it may stay so for ever."""
        try:
            return not await self._holders.is_over(rival)
        except Unreadable:
            return False


def _order(other: Unfinished) -> tuple[bool, datetime, str]:
    return other.owner.kind != RESTORE_KIND, other.created, other.owner.uid


def _waits_too(rival: Owner) -> str:
    if rival.kind == RESTORE_KIND:
        return f"Waiting for restore {rival.name}, which also waits for this database: restores go first"
    return f"Waiting for {rival.name}, which is older and also waits for this database"


def _held_by(holder: Owner) -> str:
    if holder.kind == RESTORE_KIND:
        return f"Waiting for restore {holder.name}, which is restoring the same database"
    if holder.kind == KIND:
        return f"Waiting for {holder.name}, which is backing up the same database"
    return f"Waiting for {holder.kind} {holder.name}, which has the lock of the same database"


def _not_started(holder: str, answer: Refused) -> str:
    return f"Waiting: the application that {holder} stopped can't be started again ({answer}). Scale it up by hand"
