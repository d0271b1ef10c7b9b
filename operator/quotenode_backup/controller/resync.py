"""Every few minutes: list everything, and queue what is not at rest. Lost events, and whatever an earlier process left, heal here."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterable

from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.controller.health import Health
from quotenode_backup.controller.queue import Key, KeyQueue

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
WAITING_AT_MOST = 16


async def resync_for_ever(cluster: Cluster, scopes: tuple[str | None, ...], queue: KeyQueue, health: Health) -> None:
    while True:
        pause = await _resync_once(cluster, scopes, queue, health)
        await asyncio.sleep(pause * random.uniform(0.9, 1.1))


async def _resync_once(cluster: Cluster, scopes: tuple[str | None, ...], queue: KeyQueue, health: Health) -> float:
    keys: set[Key] = set()
    pause = float(health.resync_seconds)
    try:
        for scope in scopes:
            keys |= await unsettled(cluster, scope)
        health.resynced = time.monotonic()
    except ApiError as exc:
        logger.warning("Resync: %s", exc)
        pause = RETRY_SECONDS
    await feed(queue, keys)
    return pause


async def feed(queue: KeyQueue, keys: Iterable[Key]) -> None:
    """Never many at a time: what happens while thousands are looked at must not wait behind them."""
    for key in keys:
        with contextlib.suppress(
            TimeoutError
        ):  # what comes by events may keep it full: the resync goes on all the same
            await asyncio.wait_for(queue.room(WAITING_AT_MOST), 1.0)
        queue.add(key)


async def unsettled(cluster: Cluster, scope: str | None) -> set[Key]:
    """Runs that something is left to do for, finished ones whose Jobs are not wound down, and whoever holds a lock."""
    keys = {Key(namespace, name) async for namespace, name in cluster.unsettled_runs(scope)}
    keys |= {Key(namespace, name) async for namespace, name in cluster.owners_of_jobs_to_wind_down(scope)}
    keys |= {
        Key(namespace, lease.holder_name) async for namespace, lease in cluster.each_lease(scope) if lease.holder_uid
    }
    return keys
