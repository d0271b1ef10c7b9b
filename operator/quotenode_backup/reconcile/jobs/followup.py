"""What follows a run in small Jobs, each tried again until it is done: what comes next, from the Jobs that are there."""

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
from quotenode_backup.reconcile.jobs.outcome import AnyResult, outcome, result_of
from quotenode_backup.reconcile.jobs.pod_problems import with_pod
from quotenode_backup.reconcile.reporting.requeue import POLL


@dataclass(frozen=True, slots=True)
class Begin:
    number: int


@dataclass(frozen=True, slots=True)
class Pause:
    """The newest Job is still at it."""

    requeue_after: timedelta
    obstacle: str
    """What keeps its pod from running; empty when nothing does, or only Events say it."""
    job: Job
    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class Done(Generic[AnyResult]):
    """One of the Jobs did it."""

    result: AnyResult


@dataclass(frozen=True, slots=True)
class Failed:
    """The newest Job could not, and the next is not due yet."""

    number: int
    reason: Reason
    message: str
    requeue_after: timedelta


class Followup(Generic[AnyResult]):
    """One step that follows runs. `kind`: of its result."""

    def __init__(self, cluster: Cluster, step: str, kind: type[AnyResult]) -> None:
        self._cluster = cluster
        self._step = step
        self._kind = kind

    async def next(self, owner: Owner, now: datetime, obstacle: str = "") -> Begin | Pause | Done[AnyResult] | Failed:
        """`obstacle`: what kept the newest Job's pod from running when it was last looked at."""
        found = await self._cluster.jobs.of(owner, self._step)
        # A label is anybody's to set, the name is a function of what the Job is.
        jobs = [job for job in found if job.name == job_name(self._step, owner.uid, job.number)]
        pods = await self._cluster.pods.of(owner, self._step)
        return next_followup(owner, jobs, pods, now, self._kind, obstacle)


async def warning_about(cluster: Cluster, namespace: str, job: Job, pods: Sequence[Pod]) -> str:
    """Why the Job's pod does not come up, as far as only Events say it."""
    pod = next((pod for pod in pods if pod.job_name == job.name), None)
    if pod is None:
        return await cluster.events.newest_warning(namespace, "Job", job.name, "FailedCreate")
    if pod.phase == "Pending" and not pod.unscheduled_message:
        return await cluster.events.newest_warning(namespace, "Pod", pod.name, "FailedMount")
    return ""


def next_followup(
    owner: Owner, jobs: Sequence[Job], pods: Sequence[Pod], now: datetime, kind: type[AnyResult], obstacle: str = ""
) -> Begin | Pause | Done[AnyResult] | Failed:
    """`jobs` and `pods`: those of one step for one owner. Pure."""
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
    if result:
        return Failed(newest.number, result.reason, result.message, due - now)
    attempt = Attempt(number=newest.number, job_name=newest.name, start_time=newest.created)
    reason = outcome(owner, attempt, newest, pods, kind).reason
    return Failed(newest.number, reason, _without_result(newest, pods, obstacle), due - now)


def _obstacle(job: Job, pods: Sequence[Pod]) -> str:
    problems = [with_pod(pod, "") for pod in pods if pod.job_name == job.name]
    return next((found.message for found in problems if found and found.reason is not Reason.JOB_CREATED), "")


def _without_result(job: Job, pods: Sequence[Pod], obstacle: str) -> str:
    pod = next((pod for pod in pods if pod.job_name == job.name and pod.is_over), None)
    if pod:
        code = None if pod.exit_code is None else f"exit code {pod.exit_code}"
        signs = ", ".join(sign for sign in (pod.reason or pod.terminated_reason, code) if sign)
        return f"Pod {pod.name} ended without a result ({signs}): see kubectl logs {pod.name}"
    return f"Job {job.name} came to no result: {obstacle or f'see kubectl describe job {job.name}'}"


def _result(owner: Owner, job: Job, pods: Sequence[Pod], kind: type[AnyResult]) -> AnyResult | None:
    results = (result_of(owner, job.number, pod, kind) for pod in pods if pod.job_name == job.name)
    return next((result for result in results if result), None)
