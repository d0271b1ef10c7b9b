"""The whole life of one run, as a function from what is observed to the next step. Pure: `now` is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.objects import BackupRun, Stopped
from quotenode_backup.contract.results import BackupResult
from quotenode_backup.domain import timing
from quotenode_backup.domain.reasons import Reason, is_retryable
from quotenode_backup.reconcile.backup.steps import Accept, BeginAttempt, Complete, Step, TakeLock
from quotenode_backup.reconcile.jobs.attempt import (
    Absent,
    Assessment,
    Blocked,
    Jobs,
    Lost,
    Running,
    Unclear,
    assess,
    is_overdue,
    lost_sentence,
)
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.jobs.steps import CreateJob, DeleteJob, EndAttempt, Fail, Observe, Wait
from quotenode_backup.reconcile.reporting.requeue import SOON
from quotenode_backup.reconcile.target.steps import Purpose, StartApplication
from quotenode_backup.reconcile.target.stopping import scaled_up, stopping
from quotenode_backup.reconcile.target.workloads import Application

OFFLINE = Purpose("offline backup", "use mode Online")


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that a decision about a run rests on."""

    run: BackupRun
    holds_lock: bool
    work: Jobs
    """The Jobs and pods of the run's attempts."""
    now: datetime
    application: Application | None = None
    """None for an online run."""

    @property
    def stopped(self) -> Stopped | None:
        """What this run has recorded to be started again."""
        return self.application.stopped if self.application else None

    @property
    def deadline(self) -> datetime | None:
        """None: the time of the run has not started yet."""
        return self.run.deadline if self.run.status.start_time else None


def next_step(seen: Seen) -> Step:
    """The next step of a run that is neither finished nor being deleted."""
    status = seen.run.status
    if not status.holds(ConditionType.ACCEPTED):
        return Accept()
    if not seen.holds_lock:
        return TakeLock()
    if not status.attempts:
        return _begin(seen, 1)
    attempt = status.attempts[-1]
    return _during(seen, attempt) if attempt.completion_time is None else _between(seen, attempt)


def _begin(seen: Seen, number: int) -> Step:
    """An attempt of an offline run begins only when the application is down."""
    start, seconds = seen.run.status.start_time, seen.run.spec.active_deadline_seconds
    latest = timing.runner_deadline(start, seconds) if start else None
    return stopping(seen.application, OFFLINE, start, latest, seen.now) or BeginAttempt(number)


def _during(seen: Seen, attempt: Attempt) -> Step:
    """The status has no end of the newest attempt yet."""
    found = assess(seen.run.owner, attempt, seen.work, seen.deadline, seen.now, BackupResult)
    job, pods = seen.work.named(attempt.job_name), seen.work.pods_of(attempt.job_name)
    intruder = scaled_up(seen.application, OFFLINE)
    if isinstance(found, Absent):
        return _late(seen, attempt) or intruder or CreateJob(attempt)
    if isinstance(found, Ended) and job and job.is_finished:
        return (intruder or Complete(found)) if found.reason is Reason.COMPLETED else EndAttempt(found)
    if intruder and job and (not pods or any(not pod.is_over for pod in pods)):
        return intruder
    return _assessed(found)


def _assessed(found: Assessment[BackupResult]) -> Step:
    match found:
        case Lost(message):
            return Fail(Reason.NODE_UNREACHABLE, message)
        case Ended():
            return EndAttempt(found)
        case Blocked(problem, requeue_after):
            is_obstacle = problem.reason is not Reason.JOB_CREATED
            return Observe(problem.reason, problem.message, requeue_after, problem.message if is_obstacle else "")
        case Running(pod):
            return Observe(Reason.JOB_RUNNING, f"Pod {pod} is making the backup")
        case Unclear() | Absent():
            return Wait(SOON)


def _late(seen: Seen, attempt: Attempt) -> Step | None:
    """The attempt was recorded, but its Job did not exist before the deadline, as after a downtime of the operator."""
    start, seconds = seen.run.status.start_time or attempt.start_time, seen.run.spec.active_deadline_seconds
    if seen.now < timing.runner_deadline(start, seconds):
        return None
    return EndAttempt(Ended(Reason.DEADLINE_EXCEEDED, _deadline_sentence(seconds, attempt.obstacle or "")))


def _between(seen: Seen, last: Attempt) -> Step:
    """The newest attempt is over: clean up after it, then try again or fail the run."""
    leftover = next((job for job in seen.work.unfinished if not job.deleting), None)
    if leftover:
        return DeleteJob(leftover)
    if seen.work.live_pods and is_overdue(seen.deadline, seen.now):
        return Fail(Reason.NODE_UNREACHABLE, lost_sentence(seen.work.live_pods))
    if seen.work.live_pods or (seen.work.unfinished and _ended_lately(seen, last)):
        return Wait(SOON)
    reason = _known(last.reason)
    if not is_retryable(reason) or _is_used_up(seen, reason):
        return Fail(reason, last.message or "")
    intruder = None if reason is Reason.LOCK_BUSY else scaled_up(seen.application, OFFLINE)
    if intruder:
        return intruder
    ready = (last.completion_time or seen.now) + _pause(seen, last, reason)
    if seen.now < ready:
        return _let_it_serve(seen, reason) or Wait(ready - seen.now)
    return _next_attempt(seen, last)


def _known(reason: str | None) -> Reason:
    """A reason that only another release knows counts as a missing result."""
    try:
        return Reason(reason or "")
    except ValueError:
        return Reason.RESULT_MISSING


def _is_used_up(seen: Seen, reason: Reason) -> bool:
    return reason is not Reason.LOCK_BUSY and seen.run.status.failures > seen.run.spec.backoff_limit


def _let_it_serve(seen: Seen, reason: Reason) -> Step | None:
    """The application does not stay down while the lock is busy, since nobody knows how long that takes."""
    app = seen.application
    return StartApplication() if app and app.stopped and reason is Reason.LOCK_BUSY else None


def _pause(seen: Seen, last: Attempt, reason: Reason) -> timedelta:
    if reason is Reason.LOCK_BUSY:
        return timing.busy_delay(last.number, offline=seen.application is not None)
    return timing.retry_delay(seen.run.status.failures)


def _next_attempt(seen: Seen, last: Attempt) -> Step:
    start, seconds = seen.run.status.start_time, seen.run.spec.active_deadline_seconds
    if start and seen.now >= timing.runner_deadline(start, seconds):
        return Fail(
            Reason.DEADLINE_EXCEEDED,
            f"{_deadline_sentence(seconds)} The last attempt ended with {last.reason}: {last.message}",
        )
    return _begin(seen, last.number + 1)


def _ended_lately(seen: Seen, last: Attempt) -> bool:
    """Whether the attempt's Job may still create a pod. A Job whose deletion takes longer does not."""
    return last.completion_time is None or seen.now - last.completion_time < timing.STUCK_AFTER


def _deadline_sentence(seconds: int, obstacle: str = "") -> str:
    advice = obstacle or "raise spec.activeDeadlineSeconds if the data is large."
    return f"The deadline of {seconds} s is over: {advice}"
