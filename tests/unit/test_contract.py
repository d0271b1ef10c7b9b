"""What operator and runner say to each other: plans to the letter, results within the kubelet's limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quotenode_backup.api.status import Attempt
from quotenode_backup.contract import DETAIL_LIMIT, RESULT_LIMIT, Plan, Result, to_line
from quotenode_backup.reconcile.plan import plan_of
from tests.unit.given import START, bundle, result, run, seconds, spec

ODD = "quote\"node'; x=y\n-F postgres://evil/ 数据库"


def plan(**changes: object) -> Plan:
    database = {"host": "db", "name": ODD, "credentialsSecretRef": {"name": "login", "passwordKey": "pw"}}
    chosen = spec(**({"database": database} | changes))
    return plan_of(run(spec=chosen), chosen, Attempt(number=2, job_name="j", start_time=START))


def test_a_plan_comes_out_as_it_went_in() -> None:
    sent = plan(files=[{"name": ".", "claimName": "files", "subPath": "a/ü"}])
    assert Plan.model_validate_json(sent.model_dump_json(by_alias=True, exclude_none=True)) == sent
    assert (sent.database.name, sent.files[0].sub_path, sent.attempt) == (ODD, "a/ü", 2)


def test_a_plan_of_one_attempt_is_always_the_same() -> None:
    assert plan().model_dump_json() == plan().model_dump_json()


def test_the_runner_ends_a_minute_before_its_job() -> None:
    assert plan().deadline == START + seconds(1740)
    assert plan(activeDeadlineSeconds=40).deadline == START + seconds(30)


def test_a_runner_refuses_a_plan_that_it_does_not_wholly_know() -> None:
    with pytest.raises(ValidationError):
        Plan.model_validate(plan().model_dump(by_alias=True) | {"colour": "blue"})


@given(message=st.text(max_size=DETAIL_LIMIT), path=st.text(min_size=1, max_size=255))
def test_every_result_fits_into_a_termination_message(message: str, path: str) -> None:
    said = result(message=message, bundle=bundle(path=path))
    assert len(to_line(said)) <= 4096


def test_a_usual_result_is_kept_whole_within_our_own_limit() -> None:
    said = result(message="x" * DETAIL_LIMIT)
    line = to_line(said)
    assert len(line) <= RESULT_LIMIT
    assert Result.model_validate_json(line) == said
