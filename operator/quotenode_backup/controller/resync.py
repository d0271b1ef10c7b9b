"""Lists everything every few minutes and queues what is not settled.

This makes up for lost watch events, and for whatever an earlier process left unfinished.
"""

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
CLOCK_CHECK_SECONDS = 30.0
CLOCK_JUMP_SECONDS = 5.0
WAITING_AT_MOST = 16


@dataclass(frozen=True, slots=True)
class Found:
    """What the lists of one scope contain."""

    keys: set[Key] = field(default_factory=set)
    serve_by: ServeBy = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resync:
    cluster: Cluster
    scopes: tuple[str | None, ...]
    queue: KeyQueue
    health: Health
    serve_by: ServeBy
    """Kept up to date for the metrics."""

    async def go_on(self) -> None:
        clock = ClockWatch()
        while True:
            pause = await self._once()
            await rest(pause * random.uniform(0.9, 1.1), clock.has_jumped)

    async def _once(self) -> float:
        """One resync. Returns how many seconds to rest after it."""
        keys: set[Key] = set()
        is_whole = True
        for scope in self.scopes:
            found = Found()
            try:
                await collect(self.cluster, scope, found)
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
        """Update in place, so that the thread that serves the metrics never sees the mapping empty."""
        before = {key for key in self.serve_by if scope in (None, key[0])}
        for gone in before - serve_by.keys():
            del self.serve_by[gone]
        self.serve_by.update(serve_by)


class ClockWatch:
    """Detects that the wall clock was set, or that the machine was suspended.

    Timers run by the monotonic clock, and would miss the slots of schedules.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._ahead = wall() - monotonic()

    def has_jumped(self) -> bool:
        """Whether the clock has jumped since the last call."""
        before, self._ahead = self._ahead, self._wall() - self._monotonic()
        return abs(self._ahead - before) > CLOCK_JUMP_SECONDS


async def rest(seconds: float, is_over: Callable[[], bool], check_seconds: float = CLOCK_CHECK_SECONDS) -> None:
    """Wait for so many seconds, or until `is_over`, which is checked every `check_seconds`."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not is_over():  # noqa: ASYNC110 # no event tells that the clock was set
        await asyncio.sleep(min(left, check_seconds))


async def feed(queue: KeyQueue, keys: Iterable[Key]) -> None:
    """Add a few keys at a time, so that an event in the middle of a resync does not wait behind thousands of keys."""
    for key in keys:
        with contextlib.suppress(TimeoutError):  # events may keep the queue full, and the resync goes on all the same
            await asyncio.wait_for(queue.room(WAITING_AT_MOST), 1.0)
        queue.add_patient(key)


async def collect(cluster: Cluster, scope: str | None, found: Found) -> None:
    """Add to `found` the unsettled resources, the owners of Jobs without a time to live, and the holders of locks."""
    found.keys.update([key async for key in cluster.backups.unsettled(scope)])
    found.keys.update([key async for key in cluster.restores.unsettled(scope)])
    found.keys.update([key async for key in cluster.jobs.owners_to_wind_down(scope)])
    async for lease in cluster.leases.each(scope):
        if lease.holder:
            found.keys.add(lease.holder.key)
        if lease.stopped and lease.stopped.serve_by:
            found.serve_by[lease.namespace, lease.target] = lease.stopped.serve_by
