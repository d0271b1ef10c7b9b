"""Every few minutes: list everything, and queue what is not at rest. Lost events, and whatever an earlier process left, heal here."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.controller.health import Health
from quotenode_backup.controller.queue import KeyQueue
from quotenode_backup.domain.owner import Key
from quotenode_backup.reconcile.schedule.snapshot import ServeBy

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
CLOCK_LOOK_SECONDS = 30.0
CLOCK_JUMP_SECONDS = 5.0
WAITING_AT_MOST = 16


@dataclass(frozen=True, slots=True)
class Found:
    """What one look at everything came to."""

    keys: set[Key] = field(default_factory=set)
    serve_by: ServeBy = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resync:
    cluster: Cluster
    scopes: tuple[str | None, ...]
    queue: KeyQueue
    health: Health
    serve_by: ServeBy
    """Kept up for the metrics."""

    async def go_on(self) -> None:
        clock = ClockWatch()
        while True:
            pause = await self._once()
            await rest(pause * random.uniform(0.9, 1.1), clock.has_jumped)

    async def _once(self) -> float:
        """How long to rest."""
        keys: set[Key] = set()
        is_whole = True
        for scope in self.scopes:
            found = Found()
            try:
                await look(self.cluster, scope, found)
                self._remember(scope, found.serve_by)
            except ApiError as exc:
                logger.warning("Resync: %s", exc)
                is_whole = False
            keys |= found.keys
        if is_whole:
            self.health.resynced = time.monotonic()
        await feed(self.queue, keys)
        return float(self.health.resync_seconds) if is_whole else RETRY_SECONDS

    def _remember(self, scope: str | None, serve_by: ServeBy) -> None:
        """Never empty in between: the metrics are read by another thread."""
        before = {key for key in self.serve_by if scope in (None, key[0])}
        for gone in before - serve_by.keys():
            del self.serve_by[gone]
        self.serve_by.update(serve_by)


class ClockWatch:
    """Sees when the clock was set, or stood still with the machine: timers run by the monotonic one, and would miss their slots."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._ahead = wall() - monotonic()

    def has_jumped(self) -> bool:
        """Since it was last asked."""
        before, self._ahead = self._ahead, self._wall() - self._monotonic()
        return abs(self._ahead - before) > CLOCK_JUMP_SECONDS


async def rest(seconds: float, is_over: Callable[[], bool], look_seconds: float = CLOCK_LOOK_SECONDS) -> None:
    """For so long, or until it is over before that."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not is_over():  # noqa: ASYNC110 # no event tells that the clock was set
        await asyncio.sleep(min(left, look_seconds))


async def feed(queue: KeyQueue, keys: Iterable[Key]) -> None:
    """Never many at a time: what happens while thousands are looked at must not wait behind them."""
    for key in keys:
        with contextlib.suppress(TimeoutError):  # events may keep it full: the resync goes on all the same
            await asyncio.wait_for(queue.room(WAITING_AT_MOST), 1.0)
        queue.add(key)


async def look(cluster: Cluster, scope: str | None, found: Found) -> None:
    """Runs that something is left to do for, finished ones whose Jobs are not wound down, and whoever holds a lock."""
    found.keys.update([key async for key in cluster.backups.unsettled(scope)])
    found.keys.update([key async for key in cluster.jobs.owners_to_wind_down(scope)])
    async for lease in cluster.leases.each(scope):
        if lease.holder:
            found.keys.add(lease.holder.key)
        if lease.stopped and lease.stopped.serve_by:
            found.serve_by[lease.namespace, lease.target] = lease.stopped.serve_by
