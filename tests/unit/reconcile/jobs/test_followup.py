"""The small Jobs that follow a run: one at a time, each after a longer pause, until one has succeeded."""

from datetime import timedelta
from typing import Any

import pytest

from quotenode_backup.contract.results import BackupResult, Outcome
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.followup import Begin, Done, Failed, Pause, next_followup
from quotenode_backup.reconcile.reporting.requeue import POLL
from tests.unit.fakes.given import OWNER, START, ended_pod, job, pod, result, seconds

MINUTE = timedelta(minutes=1)


def over(number: int = 1, **changes: Any) -> Any:
    """A Job that took ten seconds."""
    return job(number, ended=START + seconds(10), **({"failed": True} | changes))


def after(at: float, *jobs: Any, pods: Any = ()) -> object:
    return next_followup(OWNER, jobs, pods, START + seconds(at), BackupResult)


def test_the_first_job_begins_at_once_and_is_waited_for() -> None:
    assert after(0) == Begin(1)
    assert after(100, job()) == Pause(POLL, "", job(), ())


def test_a_complete_job_with_a_successful_result_is_done() -> None:
    done = ended_pod(reported=result())
    assert after(11, over(failed=False, complete=True), pods=[done]) == Done(result())


@pytest.mark.parametrize("reported", [result(run_uid="another"), result(number=2), None])
def test_a_complete_job_without_a_result_of_its_own_has_failed(reported: Any) -> None:
    step = after(11, over(failed=False, complete=True), pods=[ended_pod(reported=reported)])
    assert isinstance(step, Failed)
    assert step.reason is Reason.RESULT_MISSING


@pytest.mark.parametrize(
    ("reported", "exit_code", "doubt"),
    [
        (result(), 0, "its Job is not complete"),
        (result(), 1, "ended with exit code 1"),
        (result(outcome=Outcome.FAILED), 1, "its outcome is Failed"),
    ],
)
def test_a_failed_job_that_reports_success_has_failed_and_the_message_says_what_contradicts_it(
    reported: BackupResult, exit_code: int, doubt: str
) -> None:
    step = after(11, over(), pods=[ended_pod(reported=reported, exit_code=exit_code)])
    message = f"The runner reported success, but {doubt}, so the attempt counts as failed: see kubectl logs pod-1"
    assert step == Failed(1, Reason.RESULT_MISSING, message, seconds(59))


def test_the_success_of_an_earlier_job_that_was_not_believed_then_is_not_believed_later() -> None:
    jobs = over(failed=False, complete=True), job(2, failed=True, ended=START + seconds(90))
    assert isinstance(after(100, *jobs, pods=[ended_pod(reported=result())]), Failed)


def test_the_pause_between_jobs_counts_from_the_end_of_the_last_and_doubles() -> None:
    done = ended_pod(reported=result(reason=Reason.SOURCE_UNREACHABLE, message="Away"), exit_code=69)
    assert after(69, over(), pods=[done]) == Failed(1, Reason.SOURCE_UNREACHABLE, "Away", seconds(1))
    assert after(70, over(), pods=[done]) == Begin(2)
    assert after(129, over(), over(2)) == Failed(
        2,
        Reason.POD_LOST,
        f"Job {over(2).name} ended without a result: see kubectl describe job {over(2).name}",
        seconds(1),
    )
    assert after(130, over(2), over()) == Begin(3)


def test_what_keeps_the_pod_from_running_is_reported_while_its_job_is_waited_for() -> None:
    unscheduled = pod(phase="Pending", node=None, unscheduled_message="0/2 nodes are available")
    assert after(20, job(), pods=[unscheduled]) == Pause(
        POLL, "No node can take pod pod-1: 0/2 nodes are available", job(), (unscheduled,)
    )
    starting = pod(phase="Pending")
    assert after(20, job(), pods=[starting]) == Pause(POLL, "", job(), (starting,))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"exit_code": 137, "terminated_reason": "OOMKilled"}, "OOMKilled, exit code 137"),
        ({"exit_code": None, "reason": "Evicted"}, "Evicted"),
        ({"exit_code": 1}, "exit code 1"),
    ],
)
def test_the_message_about_a_pod_without_a_result_has_no_advice_that_is_only_for_backups(
    changes: dict[str, Any], cause: str
) -> None:
    step = after(11, over(), pods=[ended_pod(**({"phase": "Failed"} | changes))])
    assert isinstance(step, Failed)
    assert step.message == f"Pod pod-1 ended without a result ({cause}): see kubectl logs pod-1"


def test_what_kept_a_pod_from_running_is_reported_after_the_deadline_of_its_job_has_deleted_it() -> None:
    step = next_followup(OWNER, [over()], [], START + seconds(11), BackupResult, "No node can take pod pod-1")
    assert isinstance(step, Failed)
    assert step.message == f"Job {over().name} ended without a result: No node can take pod pod-1"
