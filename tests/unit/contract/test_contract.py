"""The contract of operator and runner: plans arrive unchanged, and results stay within the kubelet's limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quotenode_backup.api.run_status import Attempt
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.results import (
    DETAIL_LIMIT,
    RESULT_LIMIT,
    AuditOutcome,
    BackupResult,
    RetentionOutcome,
    to_line,
)
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.backup.plan import plan_of
from tests.unit.fakes.given import START, bundle, result, run, seconds, spec

ODD = "quote\"node'; x=y\n-F postgres://evil/ 数据库"


def plan(**changes: object) -> BackupPlan:
    database = {"host": "db", "name": ODD, "credentialsSecretRef": {"name": "login", "passwordKey": "pw"}}
    chosen = spec(**({"database": database} | changes))
    return plan_of(run(spec=chosen), Attempt(number=2, job_name="j", start_time=START))


def test_a_plan_comes_out_as_it_went_in() -> None:
    sent = plan(files=[{"name": ".", "claimName": "files", "subPath": "a/ü"}])
    assert BackupPlan.model_validate_json(sent.model_dump_json(by_alias=True, exclude_none=True)) == sent
    assert (sent.database.name, sent.files[0].sub_path, sent.attempt) == (ODD, "a/ü", 2)


def test_a_plan_of_one_attempt_is_always_the_same() -> None:
    assert plan().model_dump_json() == plan().model_dump_json()


def test_the_runner_ends_a_minute_before_its_job() -> None:
    assert plan().deadline == START + seconds(1740)
    assert plan(activeDeadlineSeconds=40).deadline == START + seconds(30)


def test_a_runner_refuses_a_plan_that_it_does_not_wholly_know() -> None:
    with pytest.raises(ValidationError):
        BackupPlan.model_validate(plan().model_dump(by_alias=True) | {"colour": "blue"})


@given(message=st.text(max_size=DETAIL_LIMIT), path=st.text(min_size=1, max_size=255))
def test_every_result_fits_into_a_termination_message(message: str, path: str) -> None:
    whole = result(message=message, bundle=bundle(path=path))
    assert len(to_line(whole)) <= 4096


def test_a_usual_result_is_kept_whole_within_our_own_limit() -> None:
    whole = result(message="x" * DETAIL_LIMIT)
    line = to_line(whole)
    assert len(line) <= RESULT_LIMIT
    assert BackupResult.model_validate_json(line) == whole


def kept(letter: str, length: int, survivors: int) -> BackupResult:
    """The result that is left of one with a sentence of so many letters in each field for a sentence."""
    sentence = letter * length
    outcome = RetentionOutcome(survivors="x" * survivors, pruned=3, problem=sentence)
    row = AuditOutcome(logged=False, reason=Reason.AUDIT_FAILED, message=sentence)
    line = to_line(result(message=sentence, retention=outcome, audit=row))
    assert len(line) <= RESULT_LIMIT
    return BackupResult.model_validate_json(line)


@pytest.mark.parametrize(
    ("letter", "survivors", "left"), [("x", 1300, 512), ("x", 1800, 256), ("x", 2190, 128), ("数", 2190, 42)]
)
def test_sentences_give_way_to_survivors_each_as_much_as_the_others(letter: str, survivors: int, left: int) -> None:
    shortened = kept(letter, DETAIL_LIMIT, survivors)
    assert shortened.retention
    assert shortened.audit
    assert (shortened.message, shortened.retention.problem, shortened.audit.message) == (letter * left,) * 3
    assert shortened.retention.survivors == "x" * survivors


def test_what_was_removed_is_told_only_where_the_survivors_do_not_tell_it_or_have_no_room() -> None:
    for survivors, removed, left in (
        (20, 60, (20, 0)),
        (2400, 600, (2400, 0)),
        (5000, 60, (0, 60)),
        (5000, 5000, (0, 0)),
    ):
        outcome = RetentionOutcome(survivors="x" * survivors, removed="y" * removed)
        line = to_line(result(retention=outcome))
        assert len(line) <= RESULT_LIMIT
        kept = BackupResult.model_validate_json(line).retention
        assert kept
        assert (len(kept.survivors or ""), len(kept.removed or "")) == left


def test_survivors_that_leave_no_room_even_so_are_not_told_and_all_else_is() -> None:
    shortened = kept("x", DETAIL_LIMIT, 2900)
    assert shortened.retention == RetentionOutcome(survivors=None, pruned=3, problem="x" * 128)
    assert (shortened.bundle, shortened.message) == (bundle(), "x" * 128)
