"""How a run gets to its turn: it is accepted, and takes its database's lock when there is room."""

import asyncio
from datetime import datetime, timedelta

from quotenode_backup.cluster.errors import Refused
from quotenode_backup.cluster.objects import Run
from quotenode_backup.domain.naming import digest
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.pod import Placement
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.reporting.requeue import LOCK_TICK, NOW, REFUSED_TICK
from quotenode_backup.reconcile.reporting.status_writer import Desk, Pass
from quotenode_backup.reconcile.target import lock as locks

SPREAD_SECONDS = 24
ASKED_PER_SECOND = 20
"""By a crowd of any size: each costs the API server something, and one of them suffices when there is room."""


def spread(uid: str, crowd: int) -> timedelta:
    """Those that wait for room do not all ask at once, and each asks at its own moment, in the same order after a restart."""
    share = int(digest(uid), 16) % 1000 / 1000
    return timedelta(seconds=share * max(SPREAD_SECONDS, 2 * crowd / ASKED_PER_SECOND))


class Admittance:
    def __init__(self, desk: Desk, room: locks.Room, admission: Admission) -> None:
        self._desk = desk
        self._admission = admission
        self._cluster = desk.cluster
        self._room = room
        self._taking = asyncio.Lock()
        self._full: tuple[datetime, locks.Full] | None = None
        self._crowd: set[tuple[str, str]] = set()

    async def accept(self, run: Run, now: datetime) -> Pass:
        desk = self._desk
        judged = await self._admission.judge(run)
        if isinstance(judged, NotAdmitted):
            return await self.not_admitted(run, judged, now)
        before = await self._before(run, now)
        if before:
            return await desk.wait_for(run, Reason.WAITING_FOR_TARGET, before, now, LOCK_TICK)
        placement = await desk.placement(run)
        if isinstance(placement, Placement):
            desk.patience.renew(run.namespace, run.name)
            return await desk.write(run, next_status.accepted(run, judged.policy, now))
        stopper = await locks.stopper(self._cluster, run) if placement.reason is Reason.RUN_AS_USER_NEEDED else ""
        if stopper:
            words = f"Waiting for {stopper}, which has the application stopped: its pods show who can read the files"
            return await desk.wait_for(run, Reason.WAITING_FOR_TARGET, words, now, LOCK_TICK)
        if placement.may_pass and not desk.patience.is_over(run, placement.reason, now):
            status = next_status.waiting(run, placement.reason, placement.message, now)
            return await desk.write(run, status, LOCK_TICK)
        return await desk.fail(run, placement.reason, placement.message, now)

    async def not_admitted(self, run: Run, found: NotAdmitted, now: datetime) -> Pass:
        if found.may_pass:
            return await self._desk.wait_for(run, found.reason, found.message, now, REFUSED_TICK)
        return await self._desk.fail(run, found.reason, found.message, now)

    async def _before(self, run: Run, now: datetime) -> str:
        """What has to be over first; empty when nothing has."""
        try:
            if await locks.release_absent(self._cluster, run.namespace, run.name, now, but_for=run.uid):
                return ""
        except Refused as exc:
            return (
                f"Waiting: what an earlier backup {run.name} stopped can't be started again, or its lock not be given back ({exc})."
                " Allow it; to start the application, scale it by hand"
            )
        return "Waiting for the pod of an earlier backup of this name to end"

    async def take_lock(self, run: Run, now: datetime) -> Pass:
        obstacle: locks.Busy | locks.Full | None = await self._no_room(now)
        if obstacle is None:
            # To look for older ones among thousands takes a while: one of the crowd does it at a time, and not every worker waits for that.
            if self._taking.locked() and (run.namespace, run.name) in self._crowd:
                return Pass(LOCK_TICK)
            async with self._taking:  # else two could take the last room at the same time
                obstacle = await locks.take(self._cluster, run, self._room, now)
        self.forget(run.namespace, run.name)
        match obstacle:
            case None:
                return Pass(NOW)
            case locks.Busy(sentence):
                return await self._desk.wait_for(run, Reason.WAITING_FOR_TARGET, sentence, now, LOCK_TICK)
            case locks.Full() as full:
                self._crowd.add((run.namespace, run.name))
                pause = LOCK_TICK + spread(run.uid, len(self._crowd))
                return await self._desk.wait_for(run, Reason.WAITING_FOR_CAPACITY, full.sentence, now, pause)

    def forget(self, namespace: str, name: str) -> None:
        """No run of this name waits for room."""
        self._crowd.discard((namespace, name))

    async def _no_room(self, now: datetime) -> locks.Full | None:
        """Good for as long as nobody asks again anyway: hundreds may wait, and each would list every Lease."""
        if self._full and timedelta(0) <= now - self._full[0] < LOCK_TICK:
            return self._full[1]
        full = await locks.no_room(self._cluster, self._room)
        self._full = (now, full) if full else None
        return full
