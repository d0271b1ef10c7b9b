"""How a resource gets the lock of its database: it is free, no older resource waits for it, and there is capacity."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from quotenode_backup.api.backup import KIND
from quotenode_backup.cluster.custom_resources import Waiting
from quotenode_backup.cluster.errors import AlreadyExists, Conflict, Refused, Unreadable
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import BackupRun, Lease, Run, Stopped
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.reconcile.reporting.requeue import POLL_EXTERNAL
from quotenode_backup.reconcile.target import lock
from quotenode_backup.reconcile.target.capacity import AtCapacity, CapacityGate
from quotenode_backup.reconcile.target.shared_read import SharedRead
from quotenode_backup.reconcile.target.wind_down import WindDown


@dataclass(frozen=True, slots=True)
class LockHeld:
    """The lock can't be taken now, and `sentence` says why."""

    sentence: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """The Leases are just being counted for other resources, so nothing is known yet."""

    requeue_after: timedelta = POLL_EXTERNAL


@dataclass(frozen=True, slots=True)
class Applicant:
    """A resource that wants the lock of a database."""

    owner: Owner
    target: Target
    created: datetime
    stopped: Stopped | None
    """What the owner has stopped, if it had the lock before and its Lease was lost."""


class LockAcquirer:
    def __init__(self, cluster: Cluster, wind_down: WindDown, gate: CapacityGate) -> None:
        self._cluster = cluster
        self._wind_down = wind_down
        self._gate = gate
        self._waiting: dict[str, SharedRead[list[Waiting]]] = {}

    async def acquire(self, one: Applicant, now: datetime) -> LockHeld | AtCapacity | NotNow | None:
        """None when the applicant has the lock. The oldest one comes first; the loser of a race tries again later."""
        known = self._gate.lately_closed(one.owner, now)
        if known:
            return known
        found = await lock.read(self._cluster, one.target)
        if found and found.is_held_by(one.owner):
            return None
        if found and found.holder and not await self._wind_down.is_abandoned(found):
            return LockHeld(_held_by(found.holder))
        if self._gate.turns_away(one.owner):
            return NotNow()
        # The capacity comes before the rivals: finding those means going through what can be thousands of resources.
        return await self._gate.enter(one.owner, now) or await self._let_in(one, found, now)

    async def _let_in(self, one: Applicant, found: Lease | None, now: datetime) -> LockHeld | None:
        held: LockHeld | None = None
        try:
            held = await self._taken(one, found, now)
        finally:  # after an error the Lease may have been written or not, so it counts as written
            if held:
                self._gate.withdrawn(one.owner)
            else:
                self._gate.taken(one.owner)
        return held

    def forget(self, key: Key) -> None:
        """The resource of this name, if there is one, does not wait for a lock."""
        self._gate.forget(key)

    async def _taken(self, one: Applicant, found: Lease | None, now: datetime) -> LockHeld | None:
        older = await self._older_rival(one)
        if older:
            return LockHeld(f"Waiting for {older}, which is older and also waits for this database")
        try:
            if found:
                found = await self._wind_down.start_stopped(found, now)
            await lock.take(self._cluster, one.owner, one.target, found, one.stopped, now)
        except (AlreadyExists, Conflict):
            return LockHeld("Another backup has just taken the lock of this database: trying again")
        except Refused as exc:
            if found and found.stopped and found.holder:
                return LockHeld(cannot_start(found.holder.name, exc))
            return LockHeld(f"Waiting: the operator can't write the Lease that locks the database ({exc}). Allow it to")
        return None

    async def _older_rival(self, one: Applicant) -> str:
        """The name of the oldest resource that waits for the same database; empty when the applicant is the oldest."""
        namespace = one.owner.namespace
        read = self._waiting.setdefault(namespace, SharedRead(partial(self._cluster.backups.waiting, namespace)))
        _, waiting = await read()
        ahead = (one.created, one.owner.uid)
        rivals = [other for other in waiting if other.target == one.target and not other.deleting]
        for rival in sorted(rivals, key=lambda other: (other.created, other.owner.uid)):
            if (rival.created, rival.owner.uid) >= ahead:
                return ""
            if await self._still_waits(rival):
                return rival.owner.name
        return ""

    async def _still_waits(self, rival: Waiting) -> bool:
        """Whether the rival is still unfinished. Nobody waits for a rival that can't be read."""
        try:
            found = await self._cluster.backups.read(rival.owner.namespace, rival.owner.name)
        except Unreadable:
            return False
        return isinstance(found, Run) and found.uid == rival.owner.uid and not found.is_over


def applicant(run: BackupRun, stopped: Stopped | None) -> Applicant:
    return Applicant(run.owner, run.target, run.created, stopped)


def _held_by(holder: Owner) -> str:
    if holder.kind == KIND:
        return f"Waiting for {holder.name}, which is backing up the same database"
    return f"Waiting for {holder.kind} {holder.name}, which has the lock of the same database"


def cannot_start(holder: str, answer: Refused) -> str:
    return f"Waiting: the application that {holder} stopped can't be started again ({answer}). Scale it up by hand"
