"""The small Jobs that follow a run. A step is retried until one Job succeeds; the existing Jobs decide what is next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic

from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Job, Pod
from quotenode_backup.contract.results import Outcome
from quotenode_backup.domain import timing
from quotenode_backup.domain.naming import job_name
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.outcome import AnyResult, outcome, result_of
from quotenode_backup.reconcile.jobs.pod_problems import with_pod
from quotenode_backup.reconcile.reporting.requeue import POLL


@dataclass(frozen=True, slots=True)
class Begin:
    number: int


@dataclass(frozen=True, slots=True)
class Pause:
    """The newest Job has not finished."""

    requeue_after: timedelta
    obstacle: str
    """What keeps the Job's pod from running; empty when nothing does, or when only an Event tells."""
    job: Job
    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class Done(Generic[AnyResult]):
    """The newest Job succeeded."""

    result: AnyResult


@dataclass(frozen=True, slots=True)
class Failed:
    """The newest Job failed, and the next one is not due yet."""

    number: int
    reason: Reason
    message: str
    requeue_after: timedelta


class Followup(Generic[AnyResult]):
    """The Jobs of one step that follows runs. `kind`: the class of their results."""

    def __init__(self, context: Context, step: str, kind: type[AnyResult]) -> None:
        self._context = context
        self._step = step
        self._kind = kind

    async def next(self, owner: Owner, obstacle: str = "") -> Begin | Pause | Done[AnyResult] | Failed:
        """`obstacle`: what kept the newest Job's pod from running when an earlier pass saw it."""
        found = await self._context.cluster.jobs.of(owner, self._step)
        # Anybody can set the label, so our Jobs are recognized by the name, which follows from owner, step and number.
        jobs = [job for job in found if job.name == job_name(self._step, owner.uid, job.number)]
        pods = await self._context.cluster.pods.of(owner, self._step)
        return next_followup(owner, jobs, pods, self._context.clock(), self._kind, obstacle)


async def warning_about(cluster: Cluster, namespace: str, job: Job, pods: Sequence[Pod]) -> str:
    """Why the Job's pod does not start, where only an Event can tell; empty when there is no such Event."""
    pod = next((pod for pod in pods if pod.job_name == job.name), None)
    if pod is None:
        return await cluster.events.newest_warning(namespace, "Job", job.name, "FailedCreate")
    if pod.phase == "Pending" and not pod.unscheduled_message:
        return await cluster.events.newest_warning(namespace, "Pod", pod.name, "FailedMount")
    return ""


def next_followup(
    owner: Owner, jobs: Sequence[Job], pods: Sequence[Pod], now: datetime, kind: type[AnyResult], obstacle: str = ""
) -> Begin | Pause | Done[AnyResult] | Failed:
    """`jobs` and `pods`: all of one step of one owner. Pure.

    Only the newest Job counts: it exists because the success of those before it, if they reported one, was not believed.
    """
    newest = max(jobs, key=lambda job: job.number, default=None)
    if newest is None:
        return Begin(1)
    if not newest.is_finished:
        return Pause(POLL, _obstacle(newest, pods), newest, tuple(pods))
    result = _result(owner, newest, pods, kind)
    if result and result.outcome is Outcome.SUCCEEDED and newest.complete:
        return Done(result)
    due = (newest.ended or newest.created) + timing.followup_delay(newest.number)
    if now >= due:
        return Begin(newest.number + 1)
    attempt = Attempt(number=newest.number, job_name=newest.name, start_time=newest.created)
    ended = outcome(owner, attempt, newest, pods, kind)
    message = ended.message if result else _without_result(newest, pods, obstacle)
    return Failed(newest.number, ended.reason, message, due - now)


def _obstacle(job: Job, pods: Sequence[Pod]) -> str:
    problems = [with_pod(pod, "") for pod in pods if pod.job_name == job.name]
    return next((found.message for found in problems if found and found.reason is not Reason.JOB_CREATED), "")


def _without_result(job: Job, pods: Sequence[Pod], obstacle: str) -> str:
    pod = next((pod for pod in pods if pod.job_name == job.name and pod.is_over), None)
    if pod:
        code = None if pod.exit_code is None else f"exit code {pod.exit_code}"
        causes = ", ".join(cause for cause in (pod.reason or pod.terminated_reason, code) if cause)
        return f"Pod {pod.name} ended without a result ({causes}): see kubectl logs {pod.name}"
    return f"Job {job.name} ended without a result: {obstacle or f'see kubectl describe job {job.name}'}"


def _result(owner: Owner, job: Job, pods: Sequence[Pod], kind: type[AnyResult]) -> AnyResult | None:
    results = (result_of(owner, job.number, pod, kind) for pod in pods if pod.job_name == job.name)
    return next((result for result in results if result), None)
