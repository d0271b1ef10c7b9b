"""The whole life of one run, as a function from what is seen to the one thing to do next. Pure: `now` comes in."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.backup_status import Attempt, ConditionType
from quotenode_backup.cluster.objects import Job, Pod, Run, Stopped
from quotenode_backup.domain import timing
from quotenode_backup.domain.reasons import Reason, is_retryable
from quotenode_backup.reconcile.backup.steps import (
    Accept,
    BeginAttempt,
    Complete,
    CreateJob,
    DeleteJob,
    EndAttempt,
    Fail,
    Observe,
    StartApplication,
    Step,
    TakeLock,
    Wait,
)
from quotenode_backup.reconcile.jobs.outcome import Ended, outcome
from quotenode_backup.reconcile.jobs.pod_problems import with_pod, without_pod
from quotenode_backup.reconcile.reporting.requeue import SOON, TICK
from quotenode_backup.reconcile.target.stopping import scaled_up, stopping
from quotenode_backup.reconcile.target.workloads import Application


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at everything that a decision about a run rests on."""

    run: Run
    holds_lock: bool
    jobs: tuple[Job, ...]
    pods: tuple[Pod, ...]
    now: datetime
    application: Application | None = None
    """Of an offline run."""
    warning: str = ""
    """The newest Event that says why the pod does not come up; read only while it does not."""

    def job(self, name: str) -> Job | None:
        return next((job for job in self.jobs if job.name == name), None)

    @property
    def stopped(self) -> Stopped | None:
        """What of the application this run has written down to start again."""
        return self.application.stopped if self.application else None

    @property
    def has_live_pods(self) -> bool:
        return any(not pod.is_over for pod in self.pods)

    @property
    def has_live_jobs(self) -> bool:
        return any(not job.is_finished for job in self.jobs)


def next_step(seen: Seen) -> Step:
    """For a run that is neither finished nor being deleted."""
    spec, status = seen.run.spec, seen.run.status
    if spec is None:
        advice = "run helm upgrade with the chart of one release, CRDs included, then make the resource again"
        return Fail(Reason.SPEC_INVALID, f"{seen.run.spec_fault}: {advice}")
    if not status.holds(ConditionType.ACCEPTED):
        return Accept()
    if not seen.holds_lock:
        return TakeLock()
    if not status.attempts:
        return _begin(seen, spec, 1)
    attempt = status.attempts[-1]
    if attempt.completion_time is None:
        return _during(seen, spec, attempt)
    return _between(seen, spec, attempt)


def _begin(seen: Seen, spec: BackupSpec, number: int) -> Step:
    """An attempt begins when the application of an offline run is down."""
    stop = stopping(seen.application, seen.run.status.start_time, spec, seen.now)
    return stop or BeginAttempt(number)


def _during(seen: Seen, spec: BackupSpec, attempt: Attempt) -> Step:
    """The newest attempt is not known to be over."""
    job = seen.job(attempt.job_name)
    mine = [pod for pod in seen.pods if pod.job_name == attempt.job_name]
    live = [pod for pod in mine if not pod.is_over]
    if job is None:
        return Wait(SOON) if live else _late(seen, spec, attempt) or scaled_up(seen.application) or CreateJob(attempt)
    if job.is_finished and not live:
        ended = outcome(seen.run.uid, attempt, job, seen.pods, _last_obstacle(seen))
        return (scaled_up(seen.application) or Complete(ended)) if ended.bundle else EndAttempt(ended)
    intruder = scaled_up(seen.application)
    if intruder and (live or not mine):
        return intruder
    if _is_lost(seen, spec):
        return Fail(Reason.NODE_UNREACHABLE, _lost_sentence(live))
    if not mine and _is_overdue(seen, spec):
        words = (
            f"The deadline is long over and Job {job.name} has no pod: see kubectl describe job, it may be suspended"
        )
        return EndAttempt(Ended(Reason.DEADLINE_EXCEEDED, words))
    if job.is_finished or job.deleting or (mine and not live):
        return Wait(SOON)
    return _pending(seen, job, live) or Observe(Reason.JOB_RUNNING, f"Pod {live[0].name} is making the backup")


def _last_obstacle(seen: Seen) -> str:
    """Why the pod had no node when it was last looked at: the deadline takes the pod, and its reason, away."""
    status = seen.run.status
    return status.message or "" if status.reason in {Reason.UNSCHEDULABLE, Reason.POD_REJECTED} else ""


def _pending(seen: Seen, job: Job, live: list[Pod]) -> Step | None:
    pending = with_pod(live[0], seen.warning) if live else without_pod(seen.warning)
    if pending is None:
        return None
    if pending.curable and seen.now - job.created < timing.QUIET_PERIOD:
        return Wait(SOON)
    left = timing.STUCK_AFTER - (seen.now - _coming_up_since(job, live))
    if not pending.curable and left <= timedelta(0):
        return EndAttempt(Ended(pending.reason, pending.message))
    again = TICK if pending.curable else max(SOON, min(TICK, left))
    return Observe(pending.reason, pending.message, again)


def _coming_up_since(job: Job, live: list[Pod]) -> datetime:
    """A pod that waited for a node has its time from then on: the node may be new, and its first pull fail."""
    return max([job.created, *(pod.scheduled for pod in live if pod.scheduled)])


def _late(seen: Seen, spec: BackupSpec, attempt: Attempt) -> Step | None:
    """An attempt that was recorded but can't begin any more: the operator was away for too long."""
    start = seen.run.status.start_time or attempt.start_time
    if seen.now < timing.runner_deadline(start, spec.active_deadline_seconds):
        return None
    return EndAttempt(Ended(Reason.DEADLINE_EXCEEDED, _deadline_sentence(spec, _last_obstacle(seen))))


def _between(seen: Seen, spec: BackupSpec, last: Attempt) -> Step:
    """The newest attempt is over: clear away, then try again or give up."""
    leftover = next((job for job in seen.jobs if not job.is_finished and not job.deleting), None)
    if leftover:
        return DeleteJob(leftover)
    if _is_lost(seen, spec):
        return Fail(Reason.NODE_UNREACHABLE, _lost_sentence([pod for pod in seen.pods if not pod.is_over]))
    if seen.has_live_pods or (seen.has_live_jobs and _ended_lately(seen, last)):
        return Wait(SOON)
    reason = _known(last.reason)
    if not is_retryable(reason) or _is_used_up(seen, spec, reason):
        return Fail(reason, last.message or "")
    intruder = None if reason is Reason.LOCK_BUSY else scaled_up(seen.application)
    if intruder:
        return intruder
    ready = (last.completion_time or seen.now) + _pause(seen, last, reason)
    if seen.now < ready:
        return _let_it_serve(seen, reason) or Wait(ready - seen.now)
    return _again(seen, spec, last)


def _known(word: str | None) -> Reason:
    """A word of another release is as good as none."""
    try:
        return Reason(word or "")
    except ValueError:
        return Reason.RESULT_MISSING


def _is_used_up(seen: Seen, spec: BackupSpec, reason: Reason) -> bool:
    return reason is not Reason.LOCK_BUSY and seen.run.status.failures > spec.backoff_limit


def _let_it_serve(seen: Seen, reason: Reason) -> Step | None:
    """Nobody knows how long a busy lock takes: the application does not stay down for it."""
    app = seen.application
    return StartApplication() if app and app.stopped and reason is Reason.LOCK_BUSY else None


def _pause(seen: Seen, last: Attempt, reason: Reason) -> timedelta:
    if reason is Reason.LOCK_BUSY:
        return timing.busy_delay(last.number, offline=seen.application is not None)
    return timing.retry_delay(seen.run.status.failures)


def _again(seen: Seen, spec: BackupSpec, last: Attempt) -> Step:
    start = seen.run.status.start_time
    if start and seen.now >= timing.runner_deadline(start, spec.active_deadline_seconds):
        return Fail(
            Reason.DEADLINE_EXCEEDED,
            f"{_deadline_sentence(spec)} The last attempt ended with {last.reason}: {last.message}",
        )
    return _begin(seen, spec, last.number + 1)


def _is_lost(seen: Seen, spec: BackupSpec) -> bool:
    """Long after the deadline there is still a pod that nobody has seen end: its node does not answer."""
    return seen.has_live_pods and _is_overdue(seen, spec)


def _is_overdue(seen: Seen, spec: BackupSpec) -> bool:
    """Everybody who ends a run at its deadline has had the time to."""
    start = seen.run.status.start_time
    return start is not None and seen.now > timing.deadline(start, spec.active_deadline_seconds) + timing.NODE_GRACE


def _ended_lately(seen: Seen, last: Attempt) -> bool:
    """A Job that is being deleted for longer makes no pod any more, whatever holds it."""
    return last.completion_time is None or seen.now - last.completion_time < timing.STUCK_AFTER


def _lost_sentence(pods: list[Pod]) -> str:
    where = ", ".join(f"pod {pod.name} on node {pod.node}" for pod in pods)
    return (
        f"The deadline is long over and {where} has not been seen to end: the node does not answer."
        " The database stays locked until the pod is gone; remove the pod or the node"
    )


def _deadline_sentence(spec: BackupSpec, obstacle: str = "") -> str:
    advice = obstacle or "raise spec.activeDeadlineSeconds if the data is large."
    return f"The deadline of {spec.active_deadline_seconds} s is over: {advice}"
