"""What a status records of attempts, whatever they are for: each function gives the next status as a value. Pure."""

from datetime import datetime

from quotenode_backup.api.conditions import MESSAGE_LIMIT, ConditionType
from quotenode_backup.api.run_status import ATTEMPTS_KEPT, Attempt
from quotenode_backup.cluster.objects import Run
from quotenode_backup.domain.naming import job_name
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.text import shortened
from quotenode_backup.reconcile.jobs.outcome import AnyResult, Ended
from quotenode_backup.reconcile.reporting.conditions import Status, observed, summarized


def attempt_begun(run: Run, status: Status, step: str, number: int, user: int | None, now: datetime) -> Status:
    """`step`: of the Job. `user`: the user ID of its pod, as far as it is known."""
    name = job_name(step, run.uid, number)
    attempt = Attempt(number=number, job_name=name, user_id=user, start_time=now)
    update = {
        "start_time": status.start_time or now,
        "job_name": name,
        "attempts": [*status.attempts, attempt][-ATTEMPTS_KEPT:],
    }
    return observed(run, status.model_copy(update=update), Reason.JOB_CREATED, f"Attempt {number}: Job {name}", now)


def attempt_observed(run: Run, status: Status, reason: Reason, message: str, obstacle: str, now: datetime) -> Status:
    """What the run is doing. `obstacle` is recorded in the newest attempt, unless that attempt is over."""
    if status.attempts and status.attempts[-1].completion_time is None:
        *earlier, last = status.attempts
        known = last.model_copy(update={"obstacle": shortened(obstacle, MESSAGE_LIMIT) or None})
        status = status.model_copy(update={"attempts": [*earlier, known]})
    return observed(run, status, reason, message, now)


def attempt_ended(run: Run, status: Status, ended: Ended[AnyResult], now: datetime) -> Status:
    """The newest attempt is over. A busy lock is no failure, and the deadline then counts from the next attempt."""
    is_busy = ended.reason is Reason.LOCK_BUSY
    update: dict[str, object] = {"start_time": None} if is_busy else {"failures": status.failures + 1}
    status = with_last_ended(status, ended, now).model_copy(update=update)
    reason = Reason.WAITING_FOR_TARGET if is_busy else ended.reason
    return summarized(run, status, {ConditionType.PROGRESSING: not is_busy}, reason, ended.message, now)


def with_last_ended(status: Status, ended: Ended[AnyResult], now: datetime) -> Status:
    end = {
        "completion_time": now,
        "reason": ended.reason,
        "message": shortened(ended.message, MESSAGE_LIMIT),
        "exit_code": ended.exit_code,
    }
    *earlier, last = status.attempts
    return status.model_copy(update={"attempts": [*earlier, last.model_copy(update=end)]})
