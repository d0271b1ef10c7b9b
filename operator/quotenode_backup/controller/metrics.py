"""All metrics of the operator.

Metrics of schedules are made at each scrape from what the passes read last. They are labeled by schedule, never by run.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quotenode_backup.reconcile.schedule.snapshot import ServeBy, Snapshot, Snapshots

NAMESPACE = ("resource_namespace", "namespace")
"""Two labels with the namespace of the resource that a sample is about. A Prometheus without `honorLabels` replaces the
value of `namespace` by the operator's own, so that resources of one name in two namespaces become one. Alerts therefore
use `resource_namespace`.
"""
SCHEDULE = (*NAMESPACE, "name")
Value = Callable[[Snapshot], float | None]


def in_namespace(namespace: str, *rest: str) -> tuple[str, ...]:
    """The values of the labels NAMESPACE, followed by those of the other labels."""
    return (namespace, namespace, *rest)


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _flag(holds: bool | None) -> float | None:
    return None if holds is None else float(holds)


GAUGES: dict[str, tuple[str, Value]] = {
    "schedule_created_timestamp_seconds": ("When the schedule was made", lambda s: _seconds(s.created)),
    "last_success_timestamp_seconds": ("When a run last completed", lambda s: _seconds(s.last_success)),
    "last_attempt_timestamp_seconds": ("When a run last began or ended", lambda s: _seconds(s.last_attempt)),
    "last_run_failed": ("Whether the run that ended last failed", lambda s: _flag(s.last_failed)),
    "last_size_bytes": ("Size of the last successful run's bundle", lambda s: s.last_size_bytes),
    "last_duration_seconds": ("How long the last successful run took", lambda s: s.last_duration_seconds),
    "next_schedule_timestamp_seconds": ("The next slot", lambda s: _seconds(s.next_slot)),
    "stale_after_seconds": ("The age at which the last success is too old", lambda s: s.stale_after_seconds),
    "suspended": ("Whether no slot starts a run", lambda s: _flag(s.suspended)),
    "running": ("Runs that are not finished, waiting ones too", lambda s: s.running),
    "waiting_since_timestamp_seconds": ("When the oldest run that waits was made", lambda s: _seconds(s.waiting_since)),
    "running_since_timestamp_seconds": ("When the oldest run at work began", lambda s: _seconds(s.running_since)),
    "running_deadline_timestamp_seconds": ("When that run must have ended", lambda s: _seconds(s.running_until)),
}
COUNTERS: dict[str, tuple[str, Value]] = {
    "missed_slots": ("Slots that passed while the operator was away", lambda s: s.missed_slots),
    "skipped_slots": ("Slots without a run: the one before was running, or it was refused", lambda s: s.skipped_slots),
}


class ScheduleCollector(Collector):
    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def describe(self) -> Iterable[Metric]:
        """Without this, registering the collector would collect."""
        return ()

    def collect(self) -> Iterable[Metric]:
        seen = self._snapshots.copy()  # the passes, in another thread, change the original
        for name, (meaning, value) in GAUGES.items():
            yield _filled(GaugeMetricFamily(f"quotenode_backup_{name}", meaning, labels=SCHEDULE), value, seen)
        for name, (meaning, value) in COUNTERS.items():
            yield _filled(CounterMetricFamily(f"quotenode_backup_{name}", meaning, labels=SCHEDULE), value, seen)


class ApplicationCollector(Collector):
    """By database, as the Leases are, since the run that stopped an application may have been deleted."""

    def __init__(self, serve_by: ServeBy) -> None:
        self._serve_by = serve_by

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "quotenode_backup_application_serve_by_timestamp_seconds",
            "When the application that an offline run stopped must serve again",
            labels=(*NAMESPACE, "database"),
        )
        for key, moment in sorted(self._serve_by.copy().items()):
            family.add_metric(in_namespace(*key), moment.timestamp())
        yield family


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, value: Value, seen: Snapshots
) -> GaugeMetricFamily | CounterMetricFamily:
    for key, reading in sorted(seen.items(), key=lambda item: item[0]):
        known = value(reading)
        if known is not None:
            family.add_metric(in_namespace(*key), known)
    return family


class Metrics:
    """`operator`: tells operators apart that Prometheus scrapes as a single job."""

    def __init__(self, operator: str = "") -> None:
        self.registry = CollectorRegistry()
        self.schedules: Snapshots = {}
        self.applications: ServeBy = {}
        ProcessCollector(registry=self.registry)
        self.registry.register(ScheduleCollector(self.schedules))
        self.registry.register(ApplicationCollector(self.applications))
        self.runs = self._counter("runs", "Runs that ended", "phase", "initiated_by")
        self.restores = self._counter("restores", "Restores that ended", "phase", "kind")
        self.passes = self._counter("reconciles", "Passes", "result")
        self.depth = self._gauge("queue_depth", "Keys that wait for a worker")
        self.oldest = self._gauge("queue_oldest_seconds", "Age of the oldest waiting key")
        self.lag = self._gauge("loop_lag_seconds", "How late the event loop was last")
        age = self._gauge("resync_age_seconds", "Time since everything was listed", "operator")
        self.resync_age = age.labels(operator)
        self.resync_interval = self._gauge("resync_interval_seconds", "How often everything is listed")
        served = "Whether a namespace of watch.namespaces can be served"
        self.served = self._gauge("namespace_served", served, *NAMESPACE)
        enforced = "Whether the admission policy that asks the authors of resources is in force"
        self.enforced = self._gauge("admission_enforced", enforced, "policy")

    def set_served(self, namespaces: Iterable[str], left_out: Iterable[str]) -> None:
        for namespace in namespaces:
            self.served.labels(*in_namespace(namespace)).set(1)
        for namespace in left_out:
            self.served.labels(*in_namespace(namespace)).set(0)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"quotenode_backup_{name}", meaning, labels, registry=self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"quotenode_backup_{name}", meaning, labels, registry=self.registry)
