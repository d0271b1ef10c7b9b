"""What is done after a run by small Jobs, each tried again until it is done: what comes next, from the Jobs that are there. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.status import Attempt
from quotenode_backup.cluster.views import Job, Pod
from quotenode_backup.contract import Outcome, Result
from quotenode_backup.domain import timing
from quotenode_backup.domain.errors import Reason
from quotenode_backup.reconcile.outcome import outcome, result_of
from quotenode_backup.reconcile.pace import TICK


@dataclass(frozen=True, slots=True)
class Begin:
    number: int


@dataclass(frozen=True, slots=True)
class Pause:
    again: timedelta


@dataclass(frozen=True, slots=True)
class Done:
    """One of the Jobs did it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The newest Job could not, and the next is not due yet."""

    number: int
    reason: Reason
    message: str
    again: timedelta


def next_task(run_uid: str, jobs: Sequence[Job], pods: Sequence[Pod], now: datetime) -> Begin | Pause | Done | Failed:
    """`jobs` and `pods`: those of one task of one run."""
    newest = max(jobs, key=lambda job: job.number, default=None)
    if newest is None:
        return Begin(1)
    if not newest.is_finished:
        return Pause(TICK)
    told = _result(run_uid, newest, pods)
    if told and told.outcome is Outcome.SUCCEEDED and newest.complete:
        return Done()
    due = (newest.ended or newest.created) + timing.task_delay(newest.number)
    if now >= due:
        return Begin(newest.number + 1)
    attempt = Attempt(number=newest.number, job_name=newest.name, start_time=newest.created)
    ended = outcome(run_uid, attempt, newest, pods)
    reason, message = (told.reason, told.message) if told else (ended.reason, ended.message)
    return Failed(newest.number, reason, message, due - now)


def _result(run_uid: str, job: Job, pods: Sequence[Pod]) -> Result | None:
    results = (result_of(run_uid, job.number, pod) for pod in pods if pod.job_name == job.name)
    return next((result for result in results if result), None)
