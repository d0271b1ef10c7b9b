"""The application of an offline run: looked at, stopped before an attempt, and started again on every way out.

Only the `scale` subresource is written. What was stopped stands on the Lease from before the first workload is scaled down (see `locks`),
and in the run's status.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from quotenode_backup.api.backup import BackupSpec, Mode
from quotenode_backup.api.backup_status import StoppedWorkload
from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Claim, Lease, PodClaims, Run, Scale, StatefulSet, Stopped
from quotenode_backup.domain import timing


@dataclass(frozen=True, slots=True)
class Application:
    """The application at one moment."""

    scales: tuple[Scale, ...]
    missing: tuple[str, ...]
    """Such as `Deployment backend`."""
    autoscaled: tuple[str, ...]
    """Those that a HorizontalPodAutoscaler would start again."""
    live_pods: tuple[str, ...]
    stopped: Stopped | None
    """What this run has written down to start again."""

    def is_as_recorded(self, scale: Scale) -> bool:
        """Whether starting it again would bring back what is there now: only that may be stopped."""
        known = self.stopped.workloads if self.stopped else ()
        return (scale.kind, scale.name, scale.uid, scale.replicas) in {
            (w.kind, w.name, w.uid, w.replicas) for w in known
        }

    @property
    def up(self) -> tuple[Scale, ...]:
        """What is to have pods."""
        return tuple(scale for scale in self.scales if scale.replicas)


@dataclass(frozen=True, slots=True)
class HeldData:
    """What could be lost when some workloads are stopped."""

    stateful_sets: tuple[StatefulSet, ...]
    pods: tuple[PodClaims, ...]
    """Of the workloads."""
    claims: tuple[Claim, ...]
    """Those that the pods mount, and those that the backup names."""


async def look(cluster: Cluster, run: Run, lease: Lease | None) -> Application | None:
    """None for an online run."""
    if run.spec is None or run.spec.mode is not Mode.OFFLINE or run.spec.application is None:
        return None
    named = [(workload.kind, workload.name) for workload in run.spec.application.workloads]
    scales = {key: await cluster.workloads.read_scale(run.namespace, *key) for key in named}
    there = tuple(scale for scale in scales.values() if scale)
    autoscaled = await cluster.workloads.autoscaled(run.namespace)
    pods = [
        pod
        for scale in there
        if scale.selector
        for pod in await cluster.workloads.live_pods(run.namespace, scale.selector)
    ]
    return Application(
        scales=there,
        missing=tuple(f"{kind} {name}" for (kind, name), scale in scales.items() if scale is None),
        autoscaled=tuple(f"{kind} {name}" for kind, name in named if (kind, name) in autoscaled),
        live_pods=tuple(pods),
        stopped=lease.stopped if lease and lease.holder_uid == run.uid else None,
    )


async def held_data(cluster: Cluster, run: Run, scales: Sequence[Scale]) -> HeldData:
    """What these workloads hold, read after their scales: `set_replicas` changes only the version whose scale was read, so no policy can
    come in between unseen."""
    workloads = cluster.workloads
    names = [scale.name for scale in scales if scale.kind == "StatefulSet"]
    sets = [await workloads.read_stateful_set(run.namespace, name) for name in names]
    selectors = [scale.selector for scale in scales if scale.selector]
    pods = [pod for one in selectors for pod in await workloads.claims_of_pods(run.namespace, one)]
    named = run.spec.claim_names if run.spec else set()
    mounted = named.union(*(pod.claims for pod in pods))
    claims = [await cluster.read_claim(run.namespace, name) for name in sorted(mounted)]
    return HeldData(
        stateful_sets=tuple(found for found in sets if found),
        pods=tuple(pods),
        claims=tuple(found for found in claims if found),
    )


def workloads_of(seen: Application) -> tuple[StoppedWorkload, ...]:
    return tuple(_as_it_is(scale) for scale in seen.scales)


def _as_it_is(scale: Scale) -> StoppedWorkload:
    return StoppedWorkload(kind=scale.kind, name=scale.name, uid=scale.uid, replicas=scale.replicas)


def known_stopped(run: Run) -> Stopped | None:
    """What the run's status says that it stopped: the Lease, which should say it, may have been deleted."""
    known = run.status.stopped
    if known is None:
        return None
    serve_by = timing.deadline(run.began, run.spec.active_deadline_seconds) if run.spec else None
    return Stopped(workloads=tuple(known.workloads), user=known.user_id, serve_by=serve_by)


async def start(cluster: Cluster, namespace: str, stopped: Stopped) -> None:
    """Back to the recorded counts. One that is gone, is another by now, or was scaled up by somebody else is left alone.

    One that can't be started does not keep the others down; its error is raised at the end, so that all is tried again.
    """
    errors: list[ApiError] = []
    for workload in stopped.workloads:
        try:
            await _start_one(cluster, namespace, workload)
        except ApiError as exc:
            errors.append(exc)
    if errors:
        raise errors[0]


async def _start_one(cluster: Cluster, namespace: str, workload: StoppedWorkload) -> None:
    scale = await cluster.workloads.read_scale(namespace, workload.kind, workload.name)
    if scale and scale.uid == workload.uid and scale.replicas == 0 and workload.replicas:
        await cluster.workloads.set_replicas(namespace, scale, workload.replicas)


async def undo(cluster: Cluster, namespace: str, before: Scale) -> None:
    """Take back that a workload was scaled down."""
    await _start_one(cluster, namespace, _as_it_is(before))


def with_known_user(spec: BackupSpec, stopped: Stopped | None) -> BackupSpec:
    """With the application's pods gone, the run goes on as the user that was seen before."""
    if stopped is None or spec.pod.run_as_user is not None:
        return spec
    return spec.model_copy(update={"pod": spec.pod.model_copy(update={"run_as_user": stopped.user})})
