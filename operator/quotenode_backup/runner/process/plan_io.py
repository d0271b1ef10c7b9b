"""How the plan is read, and the result written."""

import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from quotenode_backup.contract.plans import PLAN_VERSION, Plan, plan_digest
from quotenode_backup.contract.results import DETAIL_LIMIT, Outcome, Result, to_line
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.process.display import sentence

AnyPlan = TypeVar("AnyPlan", bound=Plan)
AnyResult = TypeVar("AnyResult", bound=Result)


def read_plan(path: Path, kind: type[AnyPlan], digest: str) -> AnyPlan:
    """`digest`: the plan's checksum, which the operator put into the arguments of the container."""
    try:
        text = path.read_bytes()
        _require_unchanged(text, digest)
        _require_known_version(text)
        return kind.model_validate_json(text)
    except OSError as error:
        raise RunFailed(Reason.PLAN_INVALID, f"The plan {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise RunFailed(Reason.PLAN_INVALID, _what_is_wrong(error)) from error


class _Versioned(BaseModel):
    """A plan of any version. One of another version may have other fields."""

    model_config = ConfigDict(extra="ignore")

    version: int = PLAN_VERSION


def _require_known_version(text: bytes) -> None:
    version = _Versioned.model_validate_json(text).version
    if version != PLAN_VERSION:
        raise RunFailed(
            Reason.PLAN_INVALID,
            f"The plan has version {version}, and this runner reads version {PLAN_VERSION}: "
            "let operator and runner use the same image.",
        )


def _require_unchanged(text: bytes, digest: str) -> None:
    if plan_digest(text) != digest:
        raise RunFailed(
            Reason.PLAN_INVALID,
            "The plan in the pod's annotation is not the one that the operator wrote, so nothing was done: somebody changed the annotation, or "
            "operator and runner are of different releases. Find out who may patch pods and Jobs in this namespace.",
        )


def _what_is_wrong(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "plan"
    return f"This runner cannot read the plan: {where}: {first['msg']}."


def succeeded(plan: Plan, message: str, kind: type[AnyResult]) -> AnyResult:
    return kind(
        run_uid=plan.run_uid,
        attempt=plan.attempt,
        outcome=Outcome.SUCCEEDED,
        reason=Reason.COMPLETED,
        message=sentence(message, DETAIL_LIMIT),
    )


def failed(plan: Plan | None, failure: RunFailed, kind: type[AnyResult]) -> AnyResult:
    """`plan`: None if it could not be read."""
    return kind(
        run_uid=plan.run_uid if plan else "",
        attempt=plan.attempt if plan else 0,
        outcome=Outcome.FAILED,
        reason=failure.reason,
        message=sentence(failure.message, DETAIL_LIMIT),
    )


def write_result(path: Path, result: Result) -> None:
    """Writes the file in one call. It is a bind mount, so it cannot be replaced by a rename."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, to_line(result))
    finally:
        os.close(descriptor)
