"""Why a Job's pod does not run yet: what a pod can't say itself, its Events and conditions do. Pure."""

import re
from dataclasses import dataclass

from quotenode_backup.cluster.objects import Pod
from quotenode_backup.domain.reasons import Reason

_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_CLAIM_ABSENT = re.compile(r'persistentvolumeclaim "([^"]+)" (not found|is being deleted)')


@dataclass(frozen=True, slots=True)
class NotRunning:
    """Why the pod is not running. `curable`: waiting may help, so only the deadline ends it."""

    reason: Reason
    message: str
    curable: bool


def without_pod(rejection: str) -> NotRunning:
    """`rejection`: what the Job controller's newest FailedCreate Event says; empty when there is none."""
    if rejection:
        message = (
            f"The cluster refuses the backup's pod: {rejection}. Raise the quota or the policy, or change spec.pod"
        )
        return NotRunning(Reason.POD_REJECTED, message, curable=False)
    return NotRunning(Reason.JOB_CREATED, "The Job has no pod yet", curable=True)


def with_pod(pod: Pod, warning: str) -> NotRunning | None:
    """Why the pod does not run; None when it does. `warning`: its newest FailedMount Event."""
    if pod.phase != "Pending":
        return None
    if pod.unscheduled_message:
        return _unscheduled(pod)
    if pod.waiting_reason in _IMAGE_REASONS:
        message = f"The image of pod {pod.name} can't be pulled ({pod.waiting_reason}): {pod.waiting_message}"
        return NotRunning(
            Reason.IMAGE_PULL,
            f"{message}. Check runner.image, and the pull secrets of the pod's ServiceAccount",
            curable=False,
        )
    if pod.waiting_reason in _CONFIG_REASONS:
        message = f"Pod {pod.name} can't be started ({pod.waiting_reason}): {pod.waiting_message}"
        return NotRunning(Reason.POD_REJECTED, message, curable=False)
    return NotRunning(Reason.JOB_CREATED, warning or f"Pod {pod.name} is starting", curable=True)


def _unscheduled(pod: Pod) -> NotRunning:
    said = pod.unscheduled_message
    absent = _CLAIM_ABSENT.search(said)
    if absent:
        message = f"PersistentVolumeClaim {absent[1]} does not exist in this namespace: create it or correct the spec"
        return NotRunning(Reason.CLAIM_MISSING, message, curable=False)
    if "volume node affinity conflict" in said:
        message = f"The claims lie on different nodes, and one pod can't have them all: {said}"
        return NotRunning(Reason.CLAIMS_APART, message, curable=False)
    return NotRunning(Reason.UNSCHEDULABLE, f"No node takes pod {pod.name}: {said}", curable=True)
