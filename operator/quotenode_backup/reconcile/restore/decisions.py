"""The whole life of one restore, as a function from what is observed to the next step. Pure: `now` is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.api.restore_status import Stage
from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.restore_objects import RestoreRun
from quotenode_backup.contract.restore_results import SwapResult
from quotenode_backup.contract.results import Result
from quotenode_backup.domain import timing
from quotenode_backup.domain.reasons import Reason, is_retryable
from quotenode_backup.manifests.restore_jobs import HEALTH, LOAD, SWAP, VERIFY
from quotenode_backup.reconcile.jobs.attempt import (
    Absent,
    Assessment,
    Blocked,
    Jobs,
    Lost,
    Running,
    assess,
)
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.jobs.steps import CreateJob, DeleteJob, EndAttempt, Fail, Observe, Wait
from quotenode_backup.reconcile.reporting.requeue import POLL, SOON
from quotenode_backup.reconcile.restore.stages import RESULTS, STEPS, Goal, began_undecided, goal, is_undecided, step_of
from quotenode_backup.reconcile.restore.steps import (
    Accept,
    BeginAttempt,
    BeginSwap,
    Complete,
    KeepResource,
    Start,
    Step,
    TakeHealthy,
    TakeLoaded,
    TakeLock,
    TakeSwapped,
    TakeVerified,
)
from quotenode_backup.reconcile.target.steps import Purpose, StartApplication
from quotenode_backup.reconcile.target.stopping import stopping
from quotenode_backup.reconcile.target.workloads import Application

RESTORE = Purpose("restore", "leave it out of spec.application.workloads")
UNDECIDED_PAUSE = timedelta(minutes=1)
"""How often it is asked which data is live, without an end."""
DOES = {
    VERIFY: "is reading the bundle",
    LOAD: "is loading the backup beside the live data",
    SWAP: "is putting what was loaded in place",
    HEALTH: "is waiting until the application serves",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that a decision about a restore rests on."""

    run: RestoreRun
    holds_lock: bool
    work: Jobs
    """The Jobs and pods of all attempts."""
    now: datetime
    application: Application | None = None
    """None: nothing is to be stopped."""
    users: tuple[str, ...] = ()
    """Pods of others that mount a claim whose files are to be replaced."""


def next_step(seen: Seen) -> Step:
    """The next step of a restore that is not finished."""
    run, status = seen.run, seen.run.status
    if not status.holds(ConditionType.ACCEPTED):
        return Accept()
    wanted = goal(run)
    needs_lock = wanted not in (Goal.VERIFIED, Goal.COMPLETE)
    if needs_lock and not seen.holds_lock:
        return TakeLock()
    if not status.attempts:
        return _towards(seen, wanted, 1)
    last = status.attempts[-1]
    if last.completion_time is None:
        return _during(seen, last)
    return _between(seen, last, wanted)


def _towards(seen: Seen, wanted: Goal, number: int) -> Step:
    match wanted:
        case Goal.COMPLETE:
            return Complete()
        case Goal.STARTED:
            return Start()
        case Goal.LOADED | Goal.SWAPPED if not seen.run.has_finalizer:
            return KeepResource()
        case Goal.SWAPPED:
            return _stopped(seen) or BeginSwap(number)
        case _:
            return BeginAttempt(STEPS[wanted], number)


def _stopped(seen: Seen) -> Step | None:
    """The next step until the application is down and nobody else has the files; None: so it is."""
    run = seen.run
    begun = run.status.start_time if run.status.stage in (Stage.STOPPING, Stage.SWAPPING) else None
    step = stopping(seen.application, RESTORE, begun, None, seen.now)
    if step is None and seen.users:
        return Fail(Reason.CLAIM_IN_USE, in_use(seen.users[0]))
    return step


def in_use(user: str) -> str:
    """`user`: as `users_of_files` names it."""
    return (
        f"{user}, so its files cannot be replaced: what it has open would stay as it was, and what it writes would be lost. Stop it, or add its workload "
        "to spec.application.workloads"
    )


def _during(seen: Seen, attempt: Attempt) -> Step:
    """The status has no end of the newest attempt yet."""
    run, step = seen.run, step_of(seen.run, attempt)
    if not step:
        return Wait(SOON)
    deadline = run.deadline if run.status.start_time else None
    found = assess(run.owner, attempt, seen.work, deadline, seen.now, RESULTS[step])
    if isinstance(found, Absent):
        return EndAttempt(_vanished(attempt)) if step == SWAP else CreateJob(attempt)
    job = seen.work.named(attempt.job_name)
    if not isinstance(found, Ended):
        return _assessed(found, step)
    if found.reason is Reason.COMPLETED and job and job.is_finished:
        return _taken(step, found)
    if step != SWAP:
        return EndAttempt(found)
    never_started = job is not None and not job.is_finished
    return _swap_not_started(seen, attempt, found) if never_started else EndAttempt(_with_side(found))


def _vanished(attempt: Attempt) -> Ended[Result]:
    message = (
        f"Job {attempt.job_name} is not there, and may have swapped before somebody deleted it: the next attempt looks"
    )
    return Ended(Reason.SWAP_UNDECIDED, message)


def _swap_not_started(seen: Seen, attempt: Attempt, found: Ended[Result]) -> Step:
    """The Job exists, and its pod does not run. Once it is too late for it to begin, it is certain that it changes nothing."""
    if began_undecided(seen.run):
        return EndAttempt(Ended[Result](Reason.SWAP_UNDECIDED, found.message))
    too_late = attempt.start_time + timing.SWAP_BEGINS_WITHIN + timing.MARGIN
    if seen.now < too_late:
        return Observe(found.reason, found.message, min(POLL, too_late - seen.now), found.message)
    return EndAttempt(found)


def _taken(step: str, found: Ended[Result]) -> Step:
    """Each step's success is recorded in its own way. The result is of the step's class, as `assess` has read it."""
    match step:
        case _ if step == VERIFY:
            return TakeVerified(found)  # type: ignore[arg-type]
        case _ if step == LOAD:
            return TakeLoaded(found)  # type: ignore[arg-type]
        case _ if step == SWAP:
            return TakeSwapped(found)  # type: ignore[arg-type]
        case _:
            return TakeHealthy(found)


def _assessed(found: Assessment[Result], step: str) -> Step:
    match found:
        case Lost(message):
            return Fail(Reason.NODE_UNREACHABLE, message)
        case Blocked(problem, requeue_after):
            is_obstacle = problem.reason is not Reason.JOB_CREATED
            return Observe(problem.reason, problem.message, requeue_after, problem.message if is_obstacle else "")
        case Running(pod):
            return Observe(Reason.JOB_RUNNING, f"Pod {pod} {DOES[step]}")
        case _:
            return Wait(SOON)


def _with_side(found: Ended[Result]) -> Ended[Result]:
    """Only a result that says that the old data is live decides that. Whatever else ended the attempt, the next one has to look."""
    result = found.result
    if isinstance(result, SwapResult) and not result.is_undecided:
        return found
    return Ended(Reason.SWAP_UNDECIDED, found.message, found.exit_code, result)


def _between(seen: Seen, last: Attempt, wanted: Goal) -> Step:
    """The newest attempt is over: clean up after it, then go on, try again, or fail the restore."""
    leftover = next((job for job in seen.work.unfinished if not job.deleting), None)
    if leftover:
        return DeleteJob(leftover)
    if seen.work.live_pods or seen.work.unfinished:
        return Wait(SOON)
    if last.reason == Reason.COMPLETED:
        return _late(seen) or _towards(seen, wanted, last.number + 1)
    return _again(seen, last, wanted)


def _again(seen: Seen, last: Attempt, wanted: Goal) -> Step:
    """After an attempt that failed."""
    if is_undecided(seen.run):
        ready = (last.completion_time or seen.now) + UNDECIDED_PAUSE
        return BeginSwap(last.number + 1) if seen.now >= ready else Wait(ready - seen.now)
    reason = _known(last.reason)
    if not _can_help(seen, reason):
        return Fail(*_final(seen, reason, last))
    if seen.run.status.stage is Stage.SWAPPING and seen.run.status.stopped:
        return StartApplication()
    ready = (last.completion_time or seen.now) + _pause(seen, last, reason)
    if seen.now < ready:
        return Wait(ready - seen.now)
    return _late(seen) or _towards(seen, wanted, last.number + 1)


def _known(reason: str | None) -> Reason:
    """A reason that only another release knows counts as a missing result."""
    try:
        return Reason(reason or "")
    except ValueError:
        return Reason.RESULT_MISSING


def _can_help(seen: Seen, reason: Reason) -> bool:
    if reason is Reason.LOCK_BUSY:
        return True
    return is_retryable(reason) and seen.run.status.failures <= seen.run.spec.backoff_limit


def _final(seen: Seen, reason: Reason, last: Attempt) -> tuple[Reason, str]:
    """After the swap only the check of the application's health can fail."""
    message = last.message or ""
    return (Reason.HEALTH_CHECK_FAILED if seen.run.status.point_of_no_return else reason), message


def _pause(seen: Seen, last: Attempt, reason: Reason) -> timedelta:
    if reason is Reason.LOCK_BUSY:
        return timing.busy_delay(last.number, offline=step_of(seen.run, last) == SWAP)
    return timing.retry_delay(seen.run.status.failures)


def _late(seen: Seen) -> Fail | None:
    """Only a restore that has replaced nothing, and has stopped nothing, is ended by a clock."""
    run, seconds = seen.run, seen.run.spec.active_deadline_seconds
    start = run.status.start_time
    if run.deadline is None or seconds is None or start is None or seen.now < timing.runner_deadline(start, seconds):
        return None
    return Fail(
        Reason.DEADLINE_EXCEEDED,
        f"The deadline of {seconds} s is over, and nothing was replaced: raise spec.activeDeadlineSeconds, or leave it out",
    )
