"""What each part of a reconciler needs for its work, whatever kind of resource it looks after."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.manifests.pod import RunnerSettings
from quotenode_backup.reconcile.reporting.events import EventRecorder


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    cluster: Cluster
    settings: RunnerSettings
    """What the pods of all Jobs have in common."""
    events: EventRecorder
    clock: Callable[[], datetime]

    @classmethod
    def of(
        cls, cluster: Cluster, settings: RunnerSettings, reporter: str, clock: Callable[[], datetime] = _utc_now
    ) -> "Context":
        """`reporter`: the name that Events have as their `reportingInstance`."""
        return cls(cluster, settings, EventRecorder(cluster.events, reporter, clock), clock)
