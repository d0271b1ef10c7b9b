"""Scales the application down before its data is touched, and up again if the run has to wait.

Each pass makes one write, and each write is safe to repeat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from quotenode_backup.cluster.errors import Refused
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Run, Stopped
from quotenode_backup.cluster.workloads import Scale
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.steps import Fail
from quotenode_backup.reconcile.target import lock, workloads
from quotenode_backup.reconcile.target.steps import (
    BeginStop,
    Purpose,
    RememberStopped,
    ScaleDown,
    StartApplication,
    Stopping,
)
from quotenode_backup.reconcile.target.stopping import loss
from quotenode_backup.reconcile.target.wind_down import WindDown


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The cluster refuses to let the application be started again."""

    message: str


class ScaleDowns:
    def __init__(self, cluster: Cluster, wind_down: WindDown, purpose: Purpose) -> None:
        self._cluster = cluster
        self._wind_down = wind_down
        self._purpose = purpose

    async def obstacle(self, run: Run, step: Stopping, claims: set[str]) -> Fail | None:
        """Why the step must not be carried out; None when nothing is against it.

        This is checked right before each workload is stopped, since somebody can change a retention policy or delete a
        claim at any time. `claims`: claims to check beside those that the workloads mount.
        """
        scales = _to_be_stopped(step)
        if not scales:
            return None
        try:
            return loss(await workloads.held_data(self._cluster, run.namespace, scales, claims), self._purpose)
        except Refused as exc:
            titles = " and ".join(scale.title for scale in scales)
            message = (
                f"The operator can't see whether stopping {titles} would delete data, so nothing is stopped: {exc}."
                f" Allow the operator to read it, or {self._purpose.alternative}"
            )
            return Fail(Reason.WORKLOAD_NOT_SCALED, message)

    async def remember(self, run: Run, stopped: Stopped, now: datetime) -> None:
        """Record on the Lease what is about to be stopped. The run's status must record it first."""
        lease = await lock.of_run(self._cluster, run)
        if lease and lease.is_held_by(run.owner):
            await lock.remember_stopped(self._cluster, lease, stopped, now)

    async def scale_down(self, run: Run, scale: Scale) -> Fail | None:
        try:
            await workloads.scale_down(self._cluster, run.namespace, scale)
        except Refused as exc:
            message = f"The cluster refuses to stop {scale.title}: {exc}. Allow it, or {self._purpose.alternative}"
            return Fail(Reason.WORKLOAD_NOT_SCALED, message)
        # While this pass was delayed, the run may have been deleted and its application started again. Then nobody else
        # would start this workload.
        lease = await lock.of_run(self._cluster, run)
        if lease is None or not lease.is_held_by(run.owner) or lease.stopped is None:
            await workloads.undo(self._cluster, run.namespace, scale)
        return None

    async def start(self, run: Run, now: datetime) -> NotStarted | None:
        """Start the application again while the run waits. The run keeps its lock."""
        lease = await lock.of_run(self._cluster, run)
        try:
            if lease and lease.is_held_by(run.owner):
                await self._wind_down.start_stopped(lease, now)
        except Refused as exc:
            return NotStarted(
                f"The application can't be started again while this run waits: {exc}. Allow it, or scale it up by hand"
            )
        return None


def _to_be_stopped(step: Stopping) -> Sequence[Scale]:
    match step:
        case BeginStop(application=running) | RememberStopped(application=running):
            return running.up
        case ScaleDown(scale):
            return (scale,)
        case StartApplication():
            return ()
