"""Why the pod of a Job does not run yet, as its conditions, its container's state and Events show. Pure."""

import re
from dataclasses import dataclass

from quotenode_backup.cluster.objects import Pod
from quotenode_backup.domain.reasons import Reason

_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_CLAIM_ABSENT = re.compile(r'persistentvolumeclaim "([^"]+)" (not found|is being deleted)')


@dataclass(frozen=True, slots=True)
class PodProblem:
    """Why the pod is not running."""

    reason: Reason
    message: str
    transient: bool
    """Whether waiting may help, so that only the deadline ends the attempt."""


def without_pod(rejection: str) -> PodProblem:
    """`rejection`: message of the Job controller's newest FailedCreate Event; empty when there is none."""
    if rejection:
        message = (
            f"The cluster refuses the Job's pod: {rejection}. Raise the quota, relax the policy, or change spec.pod"
        )
        return PodProblem(Reason.POD_REJECTED, message, transient=False)
    return PodProblem(Reason.JOB_CREATED, "The Job has no pod yet", transient=True)


def with_pod(pod: Pod, warning: str) -> PodProblem | None:
    """Why the pod does not run; None when it does. `warning`: message of its newest FailedMount Event."""
    if pod.phase != "Pending":
        return None
    if pod.unscheduled_message:
        return _unscheduled(pod)
    if pod.waiting_reason in _IMAGE_REASONS:
        message = f"The image of pod {pod.name} can't be pulled ({pod.waiting_reason}): {pod.waiting_message}"
        return PodProblem(
            Reason.IMAGE_PULL,
            f"{message}. Check runner.image, and the pull secrets of the pod's ServiceAccount",
            transient=False,
        )
    if pod.waiting_reason in _CONFIG_REASONS:
        message = f"Pod {pod.name} can't be started ({pod.waiting_reason}): {pod.waiting_message}"
        return PodProblem(Reason.POD_REJECTED, message, transient=False)
    return PodProblem(Reason.JOB_CREATED, warning or f"Pod {pod.name} is starting", transient=True)


def _unscheduled(pod: Pod) -> PodProblem:
    status = pod.unscheduled_message
    absent = _CLAIM_ABSENT.search(status)
    if absent:
        message = f"PersistentVolumeClaim {absent[1]} does not exist in this namespace: create it or correct the spec"
        return PodProblem(Reason.CLAIM_MISSING, message, transient=False)
    if "volume node affinity conflict" in status:
        message = f"The volumes are on different nodes, and one pod can't mount them all: {status}"
        return PodProblem(Reason.CLAIMS_APART, message, transient=False)
    return PodProblem(Reason.UNSCHEDULABLE, f"No node can take pod {pod.name}: {status}", transient=True)
