"""How an attempt ended: only a result of this run and attempt counts, and only if the exit code and the Job agree."""

from collections.abc import Sequence
from typing import Any

import pytest

from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.objects import Job, Pod
from quotenode_backup.contract.results import AuditOutcome, BackupResult, RetentionOutcome
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.outcome import Ended, outcome
from tests.unit.fakes.given import OWNER, attempt, ended_pod, job, result


def ended_as(attempt: Attempt, job: Job, pods: Sequence[Pod]) -> Ended[BackupResult]:
    return outcome(OWNER, attempt, job, pods, BackupResult)


DONE, FAILED = job(complete=True), job(failed=True)


def test_a_successful_result_is_taken_over_as_it_is() -> None:
    ended = ended_as(attempt(), DONE, [ended_pod(reported=result(notes=3))])
    assert (ended.reason, ended.exit_code, ended.result) == (Reason.COMPLETED, 0, result(notes=3))


def test_the_outcome_has_the_results_for_the_row_and_for_older_bundles() -> None:
    row = AuditOutcome(logged=False, reason=Reason.AUDIT_TABLE_UNFIT, message="No such table")
    older = RetentionOutcome(survivors="abcdef", pruned=2)
    ended = ended_as(attempt(), DONE, [ended_pod(reported=result(audit=row, retention=older))])
    assert ended.result
    assert (ended.result.audit, ended.result.retention) == (row, older)
    reported = result(reason=Reason.IO_ERROR, audit=row)
    ended = ended_as(attempt(), FAILED, [ended_pod(reported=reported, exit_code=74)])
    assert ended.result
    assert ended.result.audit == row


@pytest.mark.parametrize(
    ("finished", "pod", "doubt"),
    [
        (DONE, ended_pod(reported=result(), exit_code=1), "ended with exit code 1"),
        (FAILED, ended_pod(reported=result()), "its Job is not complete"),
        (DONE, ended_pod(reported=result(bundle=None)), "named no bundle"),
    ],
    ids=["exit code 1", "failed Job", "no bundle"],
)
def test_a_success_that_exit_code_job_or_bundle_contradict_is_not_believed(finished: Job, pod: Pod, doubt: str) -> None:
    ended = ended_as(attempt(), finished, [pod])
    assert (ended.reason, ended.result) == (Reason.RESULT_MISSING, None)
    assert doubt in ended.message


@pytest.mark.parametrize(
    "reported",
    [
        result(run_uid="another"),
        result(number=2),
        result(run_uid="another", reason=Reason.PLAN_INVALID),
        result(run_uid="", number=0, reason=Reason.IO_ERROR),
        None,
    ],
    ids=["another run's", "another attempt's", "another run's plan", "nobody's, who read the plan", "nothing"],
)
def test_a_result_that_is_not_this_attempts_counts_as_none(reported: BackupResult | None) -> None:
    ended = ended_as(attempt(), DONE, [ended_pod(reported=reported)])
    assert (ended.reason, ended.result) == (Reason.RESULT_MISSING, None)
    assert "kubectl logs pod-1" in ended.message


def test_a_result_about_an_unreadable_plan_counts_although_it_names_no_attempt() -> None:
    reported = result(reason=Reason.PLAN_INVALID, message="The plan has version 2", run_uid="", number=0)
    ended = ended_as(attempt(), FAILED, [ended_pod(reported=reported, exit_code=64)])
    assert (ended.reason, ended.message, ended.exit_code) == (Reason.PLAN_INVALID, "The plan has version 2", 64)


@pytest.mark.parametrize("noise", ["{", "[]", "null", '{"runUid": 3}', '{"reason": "Unheard"}', "[" * 5000, "\x00"])
def test_noise_in_the_termination_message_is_no_result(noise: str) -> None:
    ended = ended_as(attempt(), FAILED, [ended_pod(exit_code=1, termination_message=noise)])
    assert ended.reason is Reason.RESULT_MISSING


def test_a_field_of_a_newer_runner_is_overlooked() -> None:
    message = result().model_dump_json(by_alias=True, exclude_none=True)[:-1] + ',"colour":"blue"}'
    assert ended_as(attempt(), DONE, [ended_pod(termination_message=message)]).result == result()


def test_the_message_of_a_runner_becomes_one_printable_line_of_limited_length() -> None:
    reported = result(reason=Reason.DUMP_FAILED, message="a\nb\x1b[31m" + "c" * 5000)
    ended = ended_as(attempt(), FAILED, [ended_pod(reported=reported, exit_code=74)])
    assert ended.message.startswith("a b [31mc")
    assert len(ended.message) == 1024


@pytest.mark.parametrize(
    ("changes", "reason", "expected"),
    [
        ({"exit_code": 137, "terminated_reason": "OOMKilled"}, Reason.OOM_KILLED, "raise spec.pod.resources.limits"),
        ({"exit_code": 0, "terminated_reason": "OOMKilled"}, Reason.OOM_KILLED, "pod-1"),
        ({"exit_code": 137}, Reason.POD_LOST, "exit code 137"),
        ({"exit_code": 143}, Reason.POD_LOST, "exit code 143"),
        ({"exit_code": None, "reason": "Evicted", "phase": "Failed"}, Reason.POD_LOST, "Evicted"),
        ({"exit_code": 137, "terminated_reason": "ContainerStatusUnknown"}, Reason.POD_LOST, "was its node restarted?"),
        ({"exit_code": 255, "terminated_reason": "Unknown"}, Reason.POD_LOST, "was its node restarted?"),
        ({"exit_code": 2}, Reason.RESULT_MISSING, "exit code 2"),
    ],
)
def test_a_pod_without_a_result_is_judged_by_its_exit_code_and_reason(
    changes: dict[str, Any], reason: Reason, expected: str
) -> None:
    ended = ended_as(attempt(), FAILED, [ended_pod(**({"exit_code": 1} | changes))])
    assert (ended.reason, ended.exit_code) == (reason, changes["exit_code"])
    assert expected in ended.message


@pytest.mark.parametrize(
    ("changes", "advised"),
    [
        ({"exit_code": 137}, True),
        ({"exit_code": 137, "deleting": True}, False),
        ({"exit_code": 137, "reason": "Evicted"}, False),
        ({"exit_code": 143}, False),
        ({"exit_code": 137, "terminated_reason": "ContainerStatusUnknown"}, False),
    ],
    ids=["killed", "killed as it was deleted", "killed as it was evicted", "terminated", "lost by its node"],
)
def test_a_pod_that_only_the_kernel_can_have_killed_may_need_more_memory(
    changes: dict[str, Any], advised: bool
) -> None:
    message = ended_as(attempt(), FAILED, [ended_pod(**changes)]).message
    assert ("raise spec.pod.resources.limits.memory" in message) is advised


def test_a_job_without_pods_ended_by_its_deadline() -> None:
    ended = ended_as(attempt(), job(failed=True, failed_reason="DeadlineExceeded"), [])
    assert ended.reason is Reason.DEADLINE_EXCEEDED
    assert "raise spec.activeDeadlineSeconds" in ended.message


def test_a_job_without_pods_lost_its_pod() -> None:
    ended = ended_as(attempt(), FAILED, [])
    assert ended.reason is Reason.POD_LOST
    assert attempt().job_name in ended.message


def test_the_pods_of_other_attempts_are_ignored() -> None:
    assert ended_as(attempt(2), job(2, failed=True), [ended_pod(1, reported=result(1))]).reason is Reason.POD_LOST


def test_of_two_pods_the_one_with_a_result_counts() -> None:
    silent = ended_pod(exit_code=137, name="first")
    assert ended_as(attempt(), DONE, [silent, ended_pod(reported=result())]).result == result()


def test_the_message_about_a_deadline_says_what_kept_the_pod_from_running() -> None:
    late = job(failed=True, failed_reason="DeadlineExceeded")
    blocked = attempt().model_copy(update={"obstacle": "No node can take pod x: 2 Insufficient memory."})
    ended = ended_as(blocked, late, [])
    assert ended.message.endswith("deadline: No node can take pod x: 2 Insufficient memory.")
    assert "raise spec" not in ended.message
