"""How the application of an offline run is stopped: the next step, and what forbids it. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from quotenode_backup.cluster.objects import Claim
from quotenode_backup.cluster.workloads import PodClaims, StatefulSet
from quotenode_backup.domain import timing
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.steps import Fail, Observe
from quotenode_backup.reconcile.reporting.requeue import SOON
from quotenode_backup.reconcile.target.steps import BeginStop, Purpose, RememberStopped, ScaleDown, Stopping
from quotenode_backup.reconcile.target.workloads import Application, HeldData


def stopping(
    app: Application | None, purpose: Purpose, start: datetime | None, latest: datetime | None, now: datetime
) -> Stopping | Fail | Observe | None:
    """The next step until the application is down; None: it is down, or the run is online.

    `start`: when the deadline began to count. `latest`: when it is too late to stop anything; None: never.
    """
    if app is None:
        return None
    if app.autoscaled:
        return Fail(Reason.WORKLOAD_AUTOSCALED, _autoscaled_sentence(app, purpose))
    if start is None:
        titles = ", ".join([*(scale.title for scale in app.scales), *app.missing])
        return BeginStop(f"Stopping {titles}", app)
    if app.missing and app.stopped is None:
        return _missing(app, now - start)
    if latest and now >= latest:
        return Fail(Reason.DEADLINE_EXCEEDED, _not_stopped(app))
    if app.stopped is None:
        return RememberStopped(app)
    if any(not app.is_as_recorded(scale) for scale in app.up):
        return scaled_up(app, purpose)
    if app.up:
        return ScaleDown(app.up[0])
    if app.live_pods:
        return Observe(Reason.STOPPING_APPLICATION, f"Waiting for pod {app.live_pods[0]} to end", SOON)
    return None


def _missing(app: Application, waited: timedelta) -> Fail | Observe:
    """Right after everything was applied at once, the workload may be just being created."""
    message = f"{' and '.join(app.missing)} does not exist in this namespace: create it or correct spec.application"
    if waited < timing.STUCK_AFTER:
        return Observe(Reason.WORKLOAD_MISSING, message, SOON)
    return Fail(Reason.WORKLOAD_MISSING, message)


def _autoscaled_sentence(app: Application, purpose: Purpose) -> str:
    return (
        f"A HorizontalPodAutoscaler scales {' and '.join(app.autoscaled)}, and would start it in the middle of the"
        f" {purpose.work}: remove the autoscaler for that time, or {purpose.alternative}"
    )


def _not_stopped(app: Application) -> str:
    what = f"pod {app.live_pods[0]} has not ended" if app.live_pods else "it had not been scaled down"
    advice = "find out why, or raise spec.activeDeadlineSeconds"
    return f"The application did not stop before the deadline, since {what}: {advice}"


def loss(held: HeldData, purpose: Purpose) -> Fail | None:
    """Why these workloads must not be stopped: data that they hold would be deleted. None: no data would be.

    A pod's own storage (an emptyDir or ephemeral volume) does not count unless the run names it, since every restart
    of the pod deletes it anyway.
    """
    found = [
        *(_loss_with_set(workload, purpose) for workload in held.stateful_sets),
        *map(_loss_of_claim, held.claims),
        *(_loss_with_pod(claim, held.pods, purpose) for claim in held.claims),
    ]
    return next((failure for failure in found if failure), None)


def _loss_with_set(workload: StatefulSet, purpose: Purpose) -> Fail | None:
    if workload.deleting:
        return Fail(
            Reason.WORKLOAD_MISSING,
            f"StatefulSet {workload.name} is being deleted, so it is not stopped, since it could not be started again:"
            " create it again, or correct spec.application",
        )
    if workload.deletes_claims:
        return Fail(
            Reason.WORKLOAD_DELETES_DATA,
            f"StatefulSet {workload.name} deletes its claims when it is scaled down, so it is not stopped:"
            f" set its persistentVolumeClaimRetentionPolicy.whenScaled to Retain, or {purpose.alternative}",
        )
    return None


def _loss_of_claim(claim: Claim) -> Fail | None:
    if not claim.deleting:
        return None
    return Fail(
        Reason.WORKLOAD_DELETES_DATA,
        f"PersistentVolumeClaim {claim.name} has been deleted and exists only as long as pods mount it, so they are not"
        " stopped: copy its data to a new claim while they run, and use the new claim",
    )


def _loss_with_pod(claim: Claim, pods: Sequence[PodClaims], purpose: Purpose) -> Fail | None:
    owner = next((pod for pod in pods if pod.uid in claim.owner_uids), None)
    if owner is None:
        return None
    return Fail(
        Reason.WORKLOAD_DELETES_DATA,
        f"PersistentVolumeClaim {claim.name} belongs to pod {owner.pod} and is deleted with it, so the pod is not"
        f" stopped: keep the data in a claim that no pod owns, or {purpose.alternative}",
    )


def scaled_up(app: Application | None, purpose: Purpose) -> Fail | None:
    """Why the run fails when a workload is up that is to be down; None when none is up.

    Everything was down when the attempt began, so somebody else scaled the workload up. Before the attempt, a workload
    counts only if it is not as it was recorded, because starting it again would not bring back what is there now.
    """
    if app is None or not app.up:
        return None
    strange = next((scale for scale in app.up if not app.is_as_recorded(scale)), app.up[0])
    return Fail(
        Reason.WORKLOAD_SCALED_UP,
        f"{strange.title} was scaled up to {strange.replicas} during the {purpose.work}, which needs it down: "
        f"find out who did it, or {purpose.alternative}",
    )
