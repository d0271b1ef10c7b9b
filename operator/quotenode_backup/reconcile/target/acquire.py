"""How a resource gets the lock of its database: nobody else has it, nobody older waits for it, and there is capacity."""

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
from quotenode_backup.reconcile.target.shared_look import SharedLook
from quotenode_backup.reconcile.target.wind_down import WindDown


@dataclass(frozen=True, slots=True)
class LockHeld:
    """Why the lock is not to be had now."""

    sentence: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """Others ask at the moment. Nothing is known."""

    requeue_after: timedelta = POLL_EXTERNAL


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who wants the lock, of what."""

    owner: Owner
    target: Target
    created: datetime
    stopped: Stopped | None
    """What it stopped when it had the lock before."""


class LockAcquirer:
    def __init__(self, cluster: Cluster, wind_down: WindDown, gate: CapacityGate) -> None:
        self._cluster = cluster
        self._wind_down = wind_down
        self._gate = gate
        self._waiting: dict[str, SharedLook[list[Waiting]]] = {}

    async def acquire(self, one: Applicant, now: datetime) -> LockHeld | AtCapacity | NotNow | None:
        """None when it has the lock. Oldest first; a loser of a race simply asks again."""
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
        # Before the rivals: there can be thousands of resources to look through for those.
        return await self._gate.enter(one.owner, now) or await self._let_in(one, found, now)

    async def _let_in(self, one: Applicant, found: Lease | None, now: datetime) -> LockHeld | None:
        held: LockHeld | None = None
        try:
            held = await self._taken(one, found, now)
        finally:  # an error leaves open whether the Lease was written
            if held:
                self._gate.withdrawn(one.owner)
            else:
                self._gate.taken(one.owner)
        return held

    def forget(self, key: Key) -> None:
        """Nothing of this name waits for a lock."""
        self._gate.forget(key)

    async def _taken(self, one: Applicant, found: Lease | None, now: datetime) -> LockHeld | None:
        older = await self._older_rival(one)
        if older:
            return LockHeld(f"Waiting for {older}, which is older and waits for the same database")
        try:
            if found:
                found = await self._wind_down.start_stopped(found, now)
            await lock.take(self._cluster, one.owner, one.target, found, one.stopped, now)
        except (AlreadyExists, Conflict):
            return LockHeld("Another backup of the same database was a moment faster: asking again")
        except Refused as exc:
            if found and found.stopped and found.holder:
                return LockHeld(cannot_start(found.holder.name, exc))
            return LockHeld(f"Waiting: the Lease that is the database's lock can't be written ({exc}). Allow it")
        return None

    async def _older_rival(self, one: Applicant) -> str:
        """The name of the oldest that waits for the same database, if it is older; empty when there is none."""
        namespace = one.owner.namespace
        look = self._waiting.setdefault(namespace, SharedLook(partial(self._cluster.backups.waiting, namespace)))
        _, waiting = await look()
        ahead = (one.created, one.owner.uid)
        rivals = [other for other in waiting if other.target == one.target and not other.deleting]
        for rival in sorted(rivals, key=lambda other: (other.created, other.owner.uid)):
            if (rival.created, rival.owner.uid) >= ahead:
                return ""
            if await self._still_waits(rival):
                return rival.owner.name
        return ""

    async def _still_waits(self, rival: Waiting) -> bool:
        """One that can't be read, or ended since, is nobody to wait for."""
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
    return f"Waiting for {holder.kind} {holder.name}, which has locked the same database"


def cannot_start(whose: str, answer: Refused) -> str:
    return f"Waiting: the application that {whose} stopped can't be started again ({answer}). Scale it by hand"
