"""The application's workloads: how they are observed, scaled down and scaled up. Only this module writes their scale.

The replica counts are recorded before the first workload is scaled down: on the Lease (see `lock`) and in the run's
status.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from quotenode_backup.api.application import Workload
from quotenode_backup.api.run_status import StoppedWorkload
from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Claim, Run, Stopped
from quotenode_backup.cluster.workloads import PodClaims, Scale, StatefulSet


@dataclass(frozen=True, slots=True)
class Application:
    """The application at one moment."""

    scales: tuple[Scale, ...]
    missing: tuple[str, ...]
    """Workloads that do not exist, such as `Deployment backend`."""
    autoscaled: tuple[str, ...]
    """Workloads that a HorizontalPodAutoscaler would start again."""
    live_pods: tuple[str, ...]
    stopped: Stopped | None
    """What has been recorded to be started again."""

    def is_as_recorded(self, scale: Scale) -> bool:
        """Whether the record would bring back the workload as it is now. Only then may it be stopped."""
        known = self.stopped.workloads if self.stopped else ()
        return (scale.kind, scale.name, scale.uid, scale.replicas) in {
            (w.kind, w.name, w.uid, w.replicas) for w in known
        }

    @property
    def up(self) -> tuple[Scale, ...]:
        """The workloads that are to have pods."""
        return tuple(scale for scale in self.scales if scale.replicas)

    def to_record(self, known: Stopped | None) -> tuple[StoppedWorkload, ...]:
        """What to record before any of it is stopped.

        `known`: what the run has recorded before, if the Lease has lost its record. Only there are the counts of what
        the run has scaled to 0 since.
        """
        before = {(w.kind, w.name, w.uid): w.replicas for w in known.workloads} if known else {}
        live = [_as_it_is(scale) for scale in self.scales]
        return tuple(
            w if w.replicas else w.model_copy(update={"replicas": before.get((w.kind, w.name, w.uid), 0)}) for w in live
        )


@dataclass(frozen=True, slots=True)
class HeldData:
    """The objects that decide whether stopping some workloads would delete data."""

    stateful_sets: tuple[StatefulSet, ...]
    pods: tuple[PodClaims, ...]
    """The pods of the workloads."""
    claims: tuple[Claim, ...]
    """The claims that the pods mount, and those that the run names."""


async def observe(
    cluster: Cluster, namespace: str, workloads: Sequence[Workload], stopped: Stopped | None
) -> Application:
    """`stopped`: what has been recorded to be started again."""
    named = [(workload.kind, workload.name) for workload in workloads]
    scales = {key: await cluster.workloads.read_scale(namespace, *key) for key in named}
    there = tuple(scale for scale in scales.values() if scale)
    autoscaled = await cluster.workloads.autoscaled(namespace)
    pods = [
        pod for scale in there if scale.selector for pod in await cluster.workloads.live_pods(namespace, scale.selector)
    ]
    return Application(
        scales=there,
        missing=tuple(f"{kind} {name}" for (kind, name), scale in scales.items() if scale is None),
        autoscaled=tuple(f"{kind} {name}" for kind, name in named if (kind, name) in autoscaled),
        live_pods=tuple(pods),
        stopped=stopped,
    )


async def held_data(cluster: Cluster, namespace: str, scales: Sequence[Scale], claims: set[str]) -> HeldData:
    """What these workloads and claims hold.

    This is read after the scales: `scale_down` changes a workload only in the version whose scale was read, so a change
    of the retention policy in between is never missed.
    """
    workloads = cluster.workloads
    names = [scale.name for scale in scales if scale.kind == "StatefulSet"]
    sets = [await workloads.read_stateful_set(namespace, name) for name in names]
    selectors = [scale.selector for scale in scales if scale.selector]
    pods = [pod for one in selectors for pod in await workloads.claims_of_pods(namespace, one)]
    mounted = claims.union(*(pod.claims for pod in pods))
    found = [await cluster.pods.read_claim(namespace, name) for name in sorted(mounted)]
    return HeldData(
        stateful_sets=tuple(one for one in sets if one),
        pods=tuple(pods),
        claims=tuple(claim for claim in found if claim),
    )


def _as_it_is(scale: Scale) -> StoppedWorkload:
    return StoppedWorkload(kind=scale.kind, name=scale.name, uid=scale.uid, replicas=scale.replicas)


def known_stopped(run: Run) -> Stopped | None:
    """What the run has stopped, by its status: the Lease, which records the same, may have been deleted."""
    known = run.status.stopped
    if known is None:
        return None
    return Stopped(workloads=tuple(known.workloads), user=known.user_id, serve_by=run.deadline)


async def scale_down(cluster: Cluster, namespace: str, scale: Scale) -> None:
    await cluster.workloads.set_replicas(namespace, scale, 0)


async def scale_up(cluster: Cluster, namespace: str, stopped: Stopped) -> None:
    """Scale each workload back to its recorded count.

    A workload is left alone if it is gone, was replaced by another of its name, or was scaled up by somebody else. If
    one can't be started, the others still are; the error is raised at the end, so that the pass is repeated.
    """
    errors: list[ApiError] = []
    for workload in stopped.workloads:
        try:
            await _scale_up_one(cluster, namespace, workload)
        except ApiError as exc:
            errors.append(exc)
    if errors:
        raise errors[0]


async def _scale_up_one(cluster: Cluster, namespace: str, workload: StoppedWorkload) -> None:
    scale = await cluster.workloads.read_scale(namespace, workload.kind, workload.name)
    if scale and scale.uid == workload.uid and scale.replicas == 0 and workload.replicas:
        await cluster.workloads.set_replicas(namespace, scale, workload.replicas)


async def undo(cluster: Cluster, namespace: str, before: Scale) -> None:
    """Scale a workload up again right after it was scaled down."""
    await _scale_up_one(cluster, namespace, _as_it_is(before))
