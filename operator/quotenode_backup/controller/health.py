"""The health of the operator itself: the heartbeat of the event loop and the last resync, for probes and metrics."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.controller.metrics import Metrics
from quotenode_backup.controller.queue import KeyQueue
from quotenode_backup.reconcile.admission import takes_effect_in

logger = logging.getLogger(__name__)

POLICY_TRIES = 10
HEARTBEAT_SECONDS = 1.0
LOOP_STUCK_SECONDS = 30.0


@dataclass
class Health:
    """Monotonic times in seconds. The event loop writes them and the HTTP thread reads them, one value at a time, so
    that no lock is needed.
    """

    resync_seconds: int
    heartbeat: float = field(default_factory=time.monotonic)
    resynced: float | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def is_live(self) -> bool:
        """Whether the event loop runs. An outage of the API server does not count: it must not restart the operator."""
        return time.monotonic() - self.heartbeat < LOOP_STUCK_SECONDS

    @property
    def is_ready(self) -> bool:
        return self.resynced is not None and time.monotonic() - self.resynced < 3 * self.resync_seconds


def observe(metrics: Metrics, queue: KeyQueue, health: Health) -> None:
    """Have these values read at each scrape."""
    metrics.depth.set_function(lambda: queue.depth)
    metrics.oldest.set_function(lambda: queue.oldest_seconds)
    metrics.resync_interval.set(health.resync_seconds)
    metrics.resync_age.set_function(lambda: time.monotonic() - (health.resynced or health.started))


async def beat(health: Health, metrics: Metrics) -> None:
    """Keep the heartbeat going, and measure how late it is."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(HEARTBEAT_SECONDS)
        health.heartbeat = time.monotonic()
        metrics.lag.set(max(0.0, health.heartbeat - before - HEARTBEAT_SECONDS))


async def until_in_effect(policy: AdmissionPolicy, pause_seconds: float = 1.0, tries: int = POLICY_TRIES) -> None:
    """Delay readiness until the admission policy of the release is in effect, but not without limit.

    Whatever is written after `helm install --wait` has ended then counts as checked. Helm may create the policy after
    the operator's Deployment. If the policy does not appear, the operator starts all the same, and `watch_policy`
    reports it.
    """
    if not policy.name:
        return
    for _ in range(tries):
        with suppress(ApiError):
            if found := await policy.enforcement():
                await asyncio.sleep(takes_effect_in(found, datetime.now(UTC)).total_seconds())
                return
        await asyncio.sleep(pause_seconds)


async def watch_policy(policy: AdmissionPolicy, metrics: Metrics, every_seconds: float) -> None:
    """Keep the admission policy's metric current. The policy is polled, since a watch needs the permission to list."""
    was_enforced = True
    while True:
        with suppress(ApiError):
            is_enforced = await policy.enforcement() is not None
            metrics.enforced.labels(policy.name).set(is_enforced)
            if was_enforced and not is_enforced:
                logger.error(
                    "The admission policy %s is not in force: nothing new is accepted until it is", policy.name
                )
            was_enforced = is_enforced
        await asyncio.sleep(every_seconds)
