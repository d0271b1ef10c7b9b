"""How an attempt ended, as its Job and pods still show it. Pure. A success counts only if everything agrees with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from quotenode_backup.api.conditions import MESSAGE_LIMIT
from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.objects import Job, Pod
from quotenode_backup.contract.results import Outcome, Result
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.reasons import Exit, Reason
from quotenode_backup.domain.text import shortened

AnyResult = TypeVar("AnyResult", bound=Result)

_LOST_BY_ITS_NODE = {"ContainerStatusUnknown", "Unknown"}
"""What kubelet and containerd report of a container that they can't find any more, as after a restart of the node."""


@dataclass(frozen=True, slots=True)
class Ended(Generic[AnyResult]):
    """The end of an attempt. It is Completed only with a whole result, exit code 0 and a Job that is Complete."""

    reason: Reason
    message: str
    exit_code: int | None = None
    result: AnyResult | None = None
    """The runner's result; None if there was none, or if the runner reported success and something contradicts it."""


def outcome(owner: Owner, attempt: Attempt, job: Job, pods: Sequence[Pod], kind: type[AnyResult]) -> Ended[AnyResult]:
    """`kind`: the class of the result."""
    mine = [pod for pod in pods if pod.job_name == attempt.job_name]
    for pod in mine:
        result = result_of(owner, attempt.number, pod, kind)
        if result:
            return _of_result(result, pod, job)
    for pod in mine:
        if pod.exit_code is not None or pod.reason:
            return _without_result(pod)
    return _without_pod(job, attempt)


def result_of(owner: Owner, number: int, pod: Pod, kind: type[AnyResult]) -> AnyResult | None:
    """The result in the pod's termination message; None unless it is of this attempt, since anybody can write one."""
    try:
        result = kind.model_validate_json(pod.termination_message)
    except ValidationError:
        return None
    is_ours = (result.run_uid, result.attempt) == (owner.uid, number)
    return result if is_ours or _could_not_read_the_plan(result) else None


def _could_not_read_the_plan(result: Result) -> bool:
    """Without its plan the runner doesn't know which attempt it is, but the pod's labels do."""
    return result.outcome is Outcome.FAILED and result.reason is Reason.PLAN_INVALID and not result.run_uid


def _of_result(result: AnyResult, pod: Pod, job: Job) -> Ended[AnyResult]:
    message = shortened(result.message, MESSAGE_LIMIT)
    if result.outcome is Outcome.FAILED and result.reason is not Reason.COMPLETED:
        return Ended(result.reason, message, pod.exit_code, result)
    doubt = _doubt(result, pod, job)
    if doubt:
        message = (
            f"The runner reported success, but {doubt}, so the attempt counts as failed: see kubectl logs {pod.name}"
        )
        return Ended(Reason.RESULT_MISSING, message, pod.exit_code)
    return Ended(Reason.COMPLETED, message, pod.exit_code, result)


def _doubt(result: Result, pod: Pod, job: Job) -> str:
    """What contradicts the reported success; empty when nothing does."""
    if result.outcome is not Outcome.SUCCEEDED:
        return "its outcome is Failed"
    if pod.exit_code != 0:
        return f"ended with exit code {pod.exit_code}"
    if not job.complete:
        return "its Job is not complete"
    return result.lack


def _without_result(pod: Pod) -> Ended[AnyResult]:
    if pod.terminated_reason == "OOMKilled":
        return Ended(
            Reason.OOM_KILLED,
            f"Pod {pod.name} used more memory than its limit: raise spec.pod.resources.limits.memory",
            pod.exit_code,
        )
    lost = pod.terminated_reason if pod.terminated_reason in _LOST_BY_ITS_NODE else ""
    if pod.reason or lost or pod.exit_code in {Exit.KILLED, Exit.TERMINATED}:
        cause = pod.reason or (lost and f"{lost}: was its node restarted?") or f"exit code {pod.exit_code}"
        message = f"Pod {pod.name} was ended from outside ({cause}) before it could report"
        return Ended(Reason.POD_LOST, message + _likely_memory(pod), pod.exit_code)
    return Ended(
        Reason.RESULT_MISSING,
        f"Pod {pod.name} ended with exit code {pod.exit_code} and without a result: see kubectl logs {pod.name}",
        pod.exit_code,
    )


def _likely_memory(pod: Pod) -> str:
    """Container runtimes sometimes don't report that the kernel killed a container for its memory (containerd#8893)."""
    if pod.reason or pod.deleting or pod.exit_code != Exit.KILLED or pod.terminated_reason in _LOST_BY_ITS_NODE:
        return ""
    return "; nobody deleted it, so it may lack memory: raise spec.pod.resources.limits.memory if this happens again"


def _without_pod(job: Job, attempt: Attempt) -> Ended[AnyResult]:
    if job.failed_reason == "DeadlineExceeded":
        cause = attempt.obstacle or "raise spec.activeDeadlineSeconds if the data is large"
        return Ended(Reason.DEADLINE_EXCEEDED, f"Job {attempt.job_name} was ended by its deadline: {cause}")
    return Ended(Reason.POD_LOST, f"The pod of Job {attempt.job_name} was deleted before it could report")
