"""What is done after a run by small Jobs, each tried again until it is done: what comes next, from the Jobs that are there. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic

from quotenode_backup.api.backup_status import Attempt
from quotenode_backup.cluster.objects import Job, Pod
from quotenode_backup.contract.results import Outcome
from quotenode_backup.domain import timing
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.outcome import AnyResult, outcome, result_of
from quotenode_backup.reconcile.jobs.pod_problems import with_pod
from quotenode_backup.reconcile.reporting.requeue import TICK

NO_RESULT = " came to no result: "


@dataclass(frozen=True, slots=True)
class Begin:
    number: int


@dataclass(frozen=True, slots=True)
class Pause:
    """The newest Job is still at it."""

    again: timedelta
    job: str
    obstacle: str
    """Why its pod does not run; empty when it does, or nobody knows."""


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
    again: timedelta


def next_task(
    run_uid: str, jobs: Sequence[Job], pods: Sequence[Pod], now: datetime, kind: type[AnyResult], obstacle: str = ""
) -> Begin | Pause | Done[AnyResult] | Failed:
    """`jobs` and `pods`: those of one task of one run. `obstacle`: why the newest Job's pod did not run when it was last looked at."""
    newest = max(jobs, key=lambda job: job.number, default=None)
    if newest is None:
        return Begin(1)
    if not newest.is_finished:
        return Pause(TICK, newest.name, _obstacle(newest, pods))
    told = _result(run_uid, newest, pods, kind)
    if told and told.outcome is Outcome.SUCCEEDED and newest.complete:
        return Done(told)
    due = (newest.ended or newest.created) + timing.task_delay(newest.number)
    if now >= due:
        return Begin(newest.number + 1)
    if told:
        return Failed(newest.number, told.reason, told.message, due - now)
    attempt = Attempt(number=newest.number, job_name=newest.name, start_time=newest.created)
    reason = outcome(run_uid, attempt, newest, pods).reason
    return Failed(newest.number, reason, _without_result(newest, pods, obstacle), due - now)


def _obstacle(job: Job, pods: Sequence[Pod]) -> str:
    kept_from = [with_pod(pod, "") for pod in pods if pod.job_name == job.name]
    return next((found.message for found in kept_from if found and found.reason is not Reason.JOB_CREATED), "")


def _without_result(job: Job, pods: Sequence[Pod], obstacle: str) -> str:
    pod = next((pod for pod in pods if pod.job_name == job.name and pod.is_over), None)
    if pod:
        code = None if pod.exit_code is None else f"exit code {pod.exit_code}"
        signs = ", ".join(sign for sign in (pod.reason or pod.terminated_reason, code) if sign)
        return f"Pod {pod.name} ended without a result ({signs}): see kubectl logs {pod.name}"
    return f"Job {job.name}{NO_RESULT}{obstacle or f'see kubectl describe job {job.name}'}"


def _result(run_uid: str, job: Job, pods: Sequence[Pod], kind: type[AnyResult]) -> AnyResult | None:
    results = (result_of(run_uid, job.number, pod, kind) for pod in pods if pod.job_name == job.name)
    return next((result for result in results if result), None)
