"""The metrics of schedules, made at each scrape from what the passes last read. Labelled by schedule, never by run."""

from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quotenode_backup.reconcile.schedule.snapshot import ServeBy, Snapshot, Snapshots

NAMESPACE = ("resource_namespace", "namespace")
"""The namespace of the resource that a sample is about, under two labels. A Prometheus that does not honour our labels replaces the value of
`namespace` with the operator's own, and resources of one name in two namespaces become one. So alerts go by `resource_namespace`."""
SCHEDULE = (*NAMESPACE, "name")
Value = Callable[[Snapshot], float | None]


def in_namespace(namespace: str, *rest: str) -> tuple[str, ...]:
    """The values of the labels NAMESPACE, and of those behind them."""
    return (namespace, namespace, *rest)


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _flag(holds: bool | None) -> float | None:
    return None if holds is None else float(holds)


GAUGES: dict[str, tuple[str, Value]] = {
    "schedule_created_timestamp_seconds": ("When the schedule was made", lambda r: _seconds(r.created)),
    "last_success_timestamp_seconds": ("When a run last completed", lambda r: _seconds(r.last_success)),
    "last_attempt_timestamp_seconds": ("When a run last began or ended", lambda r: _seconds(r.last_attempt)),
    "last_run_failed": ("Whether the run that ended last failed", lambda r: _flag(r.last_failed)),
    "last_size_bytes": ("Size of the last successful run's bundle", lambda r: r.last_size_bytes),
    "last_duration_seconds": ("How long the last successful run took", lambda r: r.last_duration_seconds),
    "next_schedule_timestamp_seconds": ("The next slot", lambda r: _seconds(r.next_slot)),
    "stale_after_seconds": ("The age at which the last success is too old", lambda r: r.stale_after_seconds),
    "suspended": ("Whether no slot starts a run", lambda r: _flag(r.suspended)),
    "running": ("Runs that are not finished, waiting ones too", lambda r: r.running),
    "waiting_since_timestamp_seconds": ("When the oldest run that waits was made", lambda r: _seconds(r.waiting_since)),
    "running_since_timestamp_seconds": ("When the oldest run at work began", lambda r: _seconds(r.running_since)),
    "running_deadline_timestamp_seconds": ("When that run must have ended", lambda r: _seconds(r.running_until)),
}
COUNTERS: dict[str, tuple[str, Value]] = {
    "missed_slots": ("Slots that passed while the operator was away", lambda r: r.missed_slots),
    "skipped_slots": ("Slots without a run: the one before was running, or it was refused", lambda r: r.skipped_slots),
}


class ScheduleCollector(Collector):
    def __init__(self, readings: Snapshots) -> None:
        self._readings = readings

    def describe(self) -> Iterable[Metric]:
        """Else registering would collect."""
        return ()

    def collect(self) -> Iterable[Metric]:
        seen = self._readings.copy()  # passes go on in another thread
        for name, (words, value) in GAUGES.items():
            yield _filled(GaugeMetricFamily(f"quotenode_backup_{name}", words, labels=SCHEDULE), value, seen)
        for name, (words, value) in COUNTERS.items():
            yield _filled(CounterMetricFamily(f"quotenode_backup_{name}", words, labels=SCHEDULE), value, seen)


class ApplicationCollector(Collector):
    """By database, as the Leases are: a run that stopped its application may be gone."""

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
