"""The whole life of a run: the next step for each thing that can be observed."""

from datetime import timedelta
from typing import Any

import pytest

from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.backup.decisions import Seen, next_step
from quotenode_backup.reconcile.backup.steps import Accept, BeginAttempt, Complete, Step, TakeLock
from quotenode_backup.reconcile.jobs.attempt import Jobs
from quotenode_backup.reconcile.jobs.steps import CreateJob, DeleteJob, EndAttempt, Fail, Observe, Wait
from quotenode_backup.reconcile.reporting.requeue import POLL, SOON
from tests.unit.fakes.given import START, attempt, ended_pod, job, pod, result, run, seconds, spec, status

MESSAGE = 'error looking up: persistentvolumeclaim "files" not found'


def decide(known: Any = None, *, jobs: Any = (), pods: Any = (), at: float = 1, **changes: Any) -> Step:
    """The next step `at` seconds after START of a run that holds the lock, unless `changes` has another `holds_lock`."""
    holds_lock, warning = changes.pop("holds_lock", True), changes.pop("warning", "")
    work = Jobs(tuple(jobs), tuple(pods), warning)
    return next_step(Seen(run=run(known, **changes), holds_lock=holds_lock, work=work, now=START + seconds(at)))


def ended(number: int, reason: Reason) -> Any:
    return attempt(number, reason=reason, ended=START)


def test_a_new_run_is_accepted_before_it_asks_for_the_lock() -> None:
    assert decide(holds_lock=False) == Accept()


def test_an_accepted_run_asks_for_the_lock() -> None:
    assert decide(status(), holds_lock=False) == TakeLock()


def test_with_the_lock_the_first_attempt_is_recorded() -> None:
    assert decide(status()) == BeginAttempt(1)


def test_a_lost_lock_is_asked_for_again_even_in_the_middle() -> None:
    assert decide(status(attempt()), holds_lock=False) == TakeLock()


def test_a_recorded_attempt_gets_its_job() -> None:
    assert decide(status(attempt())) == CreateJob(attempt())


def test_a_job_that_is_gone_while_its_pod_lives_is_waited_for() -> None:
    assert decide(status(attempt()), pods=[pod()]) == Wait(SOON)


@pytest.mark.parametrize("late", [1740, 1741, 90000])
def test_an_attempt_that_has_no_job_at_the_deadline_ends(late: int) -> None:
    step = decide(status(attempt()), at=late)
    assert isinstance(step, EndAttempt)
    assert step.ended.reason is Reason.DEADLINE_EXCEEDED
    assert "raise spec.activeDeadlineSeconds" in step.ended.message


def test_a_second_before_the_deadline_the_job_is_still_made() -> None:
    assert decide(status(attempt()), at=1739) == CreateJob(attempt())


def test_a_young_job_is_given_time_for_its_pod() -> None:
    assert decide(status(attempt()), jobs=[job()], at=4.9) == Wait(SOON)


def test_a_job_without_a_pod_is_reported_after_a_while() -> None:
    assert decide(status(attempt()), jobs=[job()], at=5) == Observe(Reason.JOB_CREATED, "The Job has no pod yet", POLL)


def test_a_running_pod_is_named() -> None:
    step = decide(status(attempt()), jobs=[job()], pods=[pod()])
    assert step == Observe(Reason.JOB_RUNNING, "Pod pod-1 is making the backup", POLL)


def test_a_refused_pod_is_reported_at_once_and_ends_the_attempt_within_two_minutes() -> None:
    refusal = "exceeded quota: small, requested: memory=128Mi"
    early = decide(status(attempt()), jobs=[job()], warning=refusal, at=6)
    assert isinstance(early, Observe)
    assert early.reason is Reason.POD_REJECTED
    assert refusal in early.message
    step = decide(status(attempt()), jobs=[job()], warning=refusal, at=90)
    assert isinstance(step, EndAttempt)
    assert step.ended.reason is Reason.POD_REJECTED


def test_a_job_that_never_gets_a_pod_is_given_up_after_the_deadline() -> None:
    """A Job that somebody suspended is an example: its own deadline does not run."""
    begun = status(attempt(), start_time=START)
    assert isinstance(decide(begun, jobs=[job()], at=2099), Observe)
    step = decide(begun, jobs=[job()], at=2101)
    assert isinstance(step, EndAttempt)
    assert step.ended.reason is Reason.DEADLINE_EXCEEDED
    assert step.ended.message.endswith("has no pod. It may be suspended: see kubectl describe job")


def test_a_job_whose_deletion_hangs_is_not_waited_for_without_limit() -> None:
    over = status(attempt(reason=Reason.DEADLINE_EXCEEDED), start_time=START)
    assert decide(over, jobs=[job(deleting=True)], at=89) == Wait(SOON)
    assert isinstance(decide(over, jobs=[job(deleting=True)], at=91), Fail)
    assert decide(over, jobs=[job(deleting=True)], pods=[pod()], at=91) == Wait(SOON)


@pytest.mark.parametrize(("at", "requeue_after"), [(50, POLL), (85, seconds(5)), (89.9, SOON)])
def test_a_pod_that_does_not_start_has_a_pass_exactly_when_its_time_is_up(at: float, requeue_after: timedelta) -> None:
    stuck = pod(phase="Pending", waiting_reason="ErrImagePull")
    step = decide(status(attempt()), jobs=[job()], pods=[stuck], at=at)
    assert isinstance(step, Observe)
    assert step.requeue_after == requeue_after


@pytest.mark.parametrize(
    ("stuck", "reason"),
    [
        (pod(phase="Pending", waiting_reason="ImagePullBackOff", waiting_message="no such image"), Reason.IMAGE_PULL),
        (pod(phase="Pending", waiting_reason="CreateContainerConfigError"), Reason.POD_REJECTED),
        (pod(phase="Pending", node=None, unscheduled_message=MESSAGE), Reason.CLAIM_MISSING),
        (
            pod(phase="Pending", node=None, unscheduled_message="1 node(s) had volume node affinity conflict"),
            Reason.CLAIMS_APART,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_waiting_cannot_cure_ends_the_attempt_at_ninety_seconds(stuck: Any, reason: Reason) -> None:
    before = decide(status(attempt()), jobs=[job()], pods=[stuck], at=89)
    assert isinstance(before, Observe)
    assert before.reason is reason
    step = decide(status(attempt()), jobs=[job()], pods=[stuck], at=90)
    assert isinstance(step, EndAttempt)
    assert step.ended.reason is reason


def test_a_pod_that_got_a_new_node_late_has_its_time_from_then_on() -> None:
    pulling = pod(phase="Pending", waiting_reason="ErrImagePull", scheduled=START + seconds(200))
    first = decide(status(attempt()), jobs=[job()], pods=[pulling], at=201)
    assert isinstance(first, Observe)
    assert isinstance(decide(status(attempt()), jobs=[job()], pods=[pulling], at=290), EndAttempt)


@pytest.mark.parametrize("at", [10, 1000, 1799])
def test_a_pod_that_waits_for_a_node_waits_until_the_deadline(at: float) -> None:
    waiting = pod(phase="Pending", node=None, unscheduled_message="0/2 nodes are available: 2 Insufficient memory.")
    step = decide(status(attempt()), jobs=[job()], pods=[waiting], at=at)
    assert isinstance(step, Observe)
    assert step.reason is Reason.UNSCHEDULABLE
    assert "Insufficient memory" in step.message
    assert step.obstacle == step.message


@pytest.mark.parametrize(
    ("jobs", "pods"),
    [
        ([job(deleting=True)], []),
        ([job()], [ended_pod(exit_code=1)]),
        ([job(complete=True)], [pod()]),
    ],
    ids=["the Job is going", "the Job has not noticed its pod's end", "the pod has not noticed its Job's end"],
)
def test_an_end_that_is_only_half_seen_is_waited_for(jobs: Any, pods: Any) -> None:
    assert decide(status(attempt()), jobs=jobs, pods=pods, at=6) == Wait(SOON)


def test_a_bundle_completes_the_run() -> None:
    step = decide(status(attempt()), jobs=[job(complete=True)], pods=[ended_pod(reported=result())])
    assert isinstance(step, Complete)
    assert step.ended.result == result()


def test_a_failed_attempt_is_recorded_with_its_runners_message() -> None:
    reported = result(reason=Reason.CREDENTIALS_REFUSED, message="Role shop: the password is wrong")
    step = decide(status(attempt()), jobs=[job(failed=True)], pods=[ended_pod(reported=reported, exit_code=77)])
    assert isinstance(step, EndAttempt)
    assert (step.ended.reason, step.ended.exit_code) == (Reason.CREDENTIALS_REFUSED, 77)
    assert step.ended.message == reported.message


def test_a_pod_on_a_lost_node_fails_the_run_five_minutes_after_its_deadline() -> None:
    seen = {"jobs": [job(failed=True, failed_reason="DeadlineExceeded")], "pods": [pod(deleting=True)]}
    assert decide(status(attempt()), at=2100, **seen) == Wait(SOON)
    step = decide(status(attempt()), at=2101, **seen)
    assert isinstance(step, Fail)
    assert step.reason is Reason.NODE_UNREACHABLE
    assert "pod pod-1 on node worker" in step.message


def test_a_node_is_not_lost_when_every_pod_was_seen_to_end() -> None:
    step = decide(status(ended(1, Reason.CREDENTIALS_REFUSED)), pods=[ended_pod(exit_code=77)], at=9999)
    assert step == Fail(Reason.CREDENTIALS_REFUSED, "attempt 1 failed")


def test_after_an_attempt_its_job_goes_first() -> None:
    assert decide(status(ended(1, Reason.IMAGE_PULL)), jobs=[job()], pods=[pod(phase="Pending")]) == DeleteJob(job())


@pytest.mark.parametrize(("jobs", "pods"), [([job(deleting=True)], []), ([], [pod(deleting=True)])])
def test_after_an_attempt_its_work_is_seen_to_end(jobs: Any, pods: Any) -> None:
    assert decide(status(ended(1, Reason.IO_ERROR)), jobs=jobs, pods=pods) == Wait(SOON)


def test_between_attempts_a_lost_node_fails_the_run_too() -> None:
    step = decide(status(ended(1, Reason.IO_ERROR)), pods=[pod(deleting=True)], at=2101)
    assert isinstance(step, Fail)
    assert step.reason is Reason.NODE_UNREACHABLE


def test_what_another_attempt_cannot_cure_fails_the_run_with_the_same_message() -> None:
    assert decide(status(ended(1, Reason.CREDENTIALS_REFUSED))) == Fail(Reason.CREDENTIALS_REFUSED, "attempt 1 failed")


def test_a_curable_failure_is_tried_again_after_a_pause() -> None:
    known = status(ended(1, Reason.SOURCE_UNREACHABLE))
    assert decide(known, at=1) == Wait(seconds(4))
    assert decide(known, at=5) == BeginAttempt(2)


def test_the_pause_doubles() -> None:
    known = status(ended(1, Reason.IO_ERROR), ended(2, Reason.IO_ERROR))
    assert decide(known, at=1, spec=spec(backoffLimit=5)) == Wait(seconds(9))


@pytest.mark.parametrize("limit", [0, 1, 10])
def test_the_backoff_limit_counts_further_attempts(limit: int) -> None:
    last = status(ended(limit + 1, Reason.IO_ERROR), failures=limit + 1)
    before = status(ended(max(1, limit), Reason.IO_ERROR), failures=limit)
    chosen = spec(backoffLimit=limit)
    assert decide(last, at=100, spec=chosen) == Fail(Reason.IO_ERROR, f"attempt {limit + 1} failed")
    assert decide(before, at=100, spec=chosen) == BeginAttempt(max(1, limit) + 1)


@pytest.mark.parametrize("number", [1, 4, 99])
def test_a_busy_lock_uses_up_no_attempt(number: int) -> None:
    known = status(ended(number, Reason.LOCK_BUSY), start_time=None)
    assert decide(known, at=100, spec=spec(backoffLimit=0)) == BeginAttempt(number + 1)


def test_a_busy_lock_is_asked_for_less_and_less_often() -> None:
    def wait(number: int) -> Step:
        return decide(status(ended(number, Reason.LOCK_BUSY), start_time=None), at=0)

    assert [wait(number) for number in (1, 2, 4, 50)] == [Wait(seconds(s)) for s in (15, 30, 60, 60)]


def test_no_attempt_begins_after_the_deadline_and_the_last_message_is_kept() -> None:
    step = decide(status(ended(1, Reason.IO_ERROR)), at=1740)
    assert isinstance(step, Fail)
    assert step.reason is Reason.DEADLINE_EXCEEDED
    assert "attempt 1 failed" in step.message
    assert "IOError" in step.message


def test_a_reason_of_a_newer_release_counts_as_a_missing_result_and_is_tried_again() -> None:
    unheard = attempt(1).model_copy(update={"reason": "Unheard", "message": "?", "completion_time": START})
    assert decide(status(unheard), at=0) == Wait(seconds(5))
    assert decide(status(unheard), at=5) == BeginAttempt(2)
    assert decide(status(unheard), at=5, spec=spec(backoffLimit=0)) == Fail(Reason.RESULT_MISSING, "?")


def test_what_kept_the_pod_from_running_is_still_said_when_the_deadline_took_the_pod() -> None:
    blocked = attempt().model_copy(update={"obstacle": "No node can take pod x: 2 Insufficient memory."})
    step = decide(status(blocked), jobs=[job(failed=True, failed_reason="DeadlineExceeded")], at=1801)
    assert isinstance(step, EndAttempt)
    assert "2 Insufficient memory" in step.ended.message


def test_the_last_message_of_a_pod_that_ran_is_not_reported_as_the_cause_of_its_deadline() -> None:
    running = decide(status(attempt()), jobs=[job()], pods=[pod()])
    assert isinstance(running, Observe)
    assert running.obstacle == ""
    known = status(attempt(), reason=running.reason, message=running.message)
    step = decide(known, jobs=[job(failed=True, failed_reason="DeadlineExceeded")], at=1801)
    assert isinstance(step, EndAttempt)
    assert "making the backup" not in step.ended.message
