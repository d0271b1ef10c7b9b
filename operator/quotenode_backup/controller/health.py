"""How the operator itself is doing: the loop's heartbeat and the last resync, as probes and metrics see them."""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.controller.metrics import NAMESPACE, ApplicationCollector, ScheduleCollector, in_namespace
from quotenode_backup.controller.queue import KeyQueue
from quotenode_backup.reconcile.admission import takes_effect_in
from quotenode_backup.reconcile.schedule.snapshot import ServeBy, Snapshots

logger = logging.getLogger(__name__)

POLICY_TRIES = 10
HEARTBEAT_SECONDS = 1.0
LOOP_STUCK_SECONDS = 30.0


@dataclass
class Health:
    """Monotonic times in seconds. Read by the HTTP thread, written by the loop: single values, so no lock."""

    resync_seconds: int
    heartbeat: float = field(default_factory=time.monotonic)
    resynced: float | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def is_live(self) -> bool:
        """The loop runs. The API server's health is no part of it: an outage must not restart us."""
        return time.monotonic() - self.heartbeat < LOOP_STUCK_SECONDS

    @property
    def is_ready(self) -> bool:
        return self.resynced is not None and time.monotonic() - self.resynced < 3 * self.resync_seconds


class Metrics:
    """`operator`: which one this is, of those that one Prometheus may scrape as a single job."""

    def __init__(self, operator: str = "") -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.schedules: Snapshots = {}
        self.applications: ServeBy = {}
        self.registry.register(ScheduleCollector(self.schedules))
        self.registry.register(ApplicationCollector(self.applications))
        self.runs = Counter(
            "quotenode_backup_runs", "Runs that ended", ["phase", "initiated_by"], registry=self.registry
        )
        self.passes = Counter("quotenode_backup_reconciles", "Passes", ["result"], registry=self.registry)
        self.depth = Gauge("quotenode_backup_queue_depth", "Keys that wait for a worker", registry=self.registry)
        self.oldest = Gauge(
            "quotenode_backup_queue_oldest_seconds", "Age of the oldest waiting key", registry=self.registry
        )
        self.lag = Gauge(
            "quotenode_backup_loop_lag_seconds", "How late the event loop was last", registry=self.registry
        )
        self.resync_age = Gauge(
            "quotenode_backup_resync_age_seconds",
            "Time since everything was listed",
            ["operator"],
            registry=self.registry,
        ).labels(operator)
        self.served = Gauge(
            "quotenode_backup_namespace_served",
            "Whether a namespace of watch.namespaces can be served",
            NAMESPACE,
            registry=self.registry,
        )
        self.enforced = Gauge(
            "quotenode_backup_admission_enforced",
            "Whether the admission policy that asks the authors of resources is in force",
            ["policy"],
            registry=self.registry,
        )
        self.resync_interval = Gauge(
            "quotenode_backup_resync_interval_seconds", "How often everything is listed", registry=self.registry
        )

    def tell_served(self, namespaces: Iterable[str], left_out: Iterable[str]) -> None:
        for namespace in namespaces:
            self.served.labels(*in_namespace(namespace)).set(1)
        for namespace in left_out:
            self.served.labels(*in_namespace(namespace)).set(0)

    def observe(self, queue: KeyQueue, health: Health) -> None:
        """Ask for these values at each scrape."""
        self.depth.set_function(lambda: queue.depth)
        self.oldest.set_function(lambda: queue.oldest_seconds)
        self.resync_interval.set(health.resync_seconds)
        self.resync_age.set_function(lambda: time.monotonic() - (health.resynced or health.started))


async def beat(health: Health, metrics: Metrics) -> None:
    """Keep the heartbeat going, and measure how late it is."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(HEARTBEAT_SECONDS)
        health.heartbeat = time.monotonic()
        metrics.lag.set(max(0.0, health.heartbeat - before - HEARTBEAT_SECONDS))


async def until_in_effect(policy: AdmissionPolicy, pause_seconds: float = 1.0, tries: int = POLICY_TRIES) -> None:
    """Who waits for this operator to be ready, as `helm install --wait` does, finds the policy that came with it in effect: what is
    written from then on counts as judged. Helm may make the policy after the operator. One that does not come is told, not waited for."""
    if not policy.name:
        return
    for _ in range(tries):
        with suppress(ApiError):
            if found := await policy.enforcement():
                await asyncio.sleep(takes_effect_in(found, datetime.now(UTC)).total_seconds())
                return
        await asyncio.sleep(pause_seconds)


async def watch_policy(policy: AdmissionPolicy, metrics: Metrics, every_seconds: float) -> None:
    """Tell, and go on telling, whether the admission policy is in force. It can't be watched: who may get it need not be allowed to list."""
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
