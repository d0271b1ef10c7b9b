"""The conditions of a status, and what is derived from them: each function gives the next status as a value. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from quotenode_backup.api.conditions import MESSAGE_LIMIT, Condition, ConditionType, Phase
from quotenode_backup.api.run_status import RunStatus
from quotenode_backup.cluster.objects import Resource, Run
from quotenode_backup.domain.phase import phase
from quotenode_backup.domain.text import shortened

Status = TypeVar("Status", bound=RunStatus)
Changes = Mapping[ConditionType, bool | None]
_STATUS: dict[bool | None, Literal["True", "False", "Unknown"]] = {True: "True", False: "False", None: "Unknown"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a condition says."""

    holds: bool | None
    """None: unknown, and somebody still has to find out."""
    reason: str
    message: str


def with_conditions(
    resource: Resource, status: Status, found: Mapping[ConditionType, Finding], now: datetime
) -> Status:
    """Each condition keeps the time since when it has held."""
    conditions = {condition.type: condition for condition in status.conditions}
    for kind, finding in found.items():
        old, new = conditions.get(kind), _STATUS[finding.holds]
        conditions[kind] = Condition(
            type=kind,
            status=new,
            reason=finding.reason,
            message=shortened(finding.message, MESSAGE_LIMIT),
            last_transition_time=old.last_transition_time if old and old.status == new else now,
            observed_generation=resource.generation,
        )
    return status.model_copy(update={"conditions": list(conditions.values())})


def summarized(run: Run, status: Status, changes: Changes, reason: str, message: str, now: datetime) -> Status:
    """The status with these conditions, and with reason, message and phase to match."""
    message = shortened(message, MESSAGE_LIMIT)
    found = {kind: Finding(holds, reason, message) for kind, holds in changes.items()}
    status = with_conditions(run, status, found, now)
    return status.model_copy(
        update={
            "phase": Phase(phase({c.type: c.status == "True" for c in status.conditions})),
            "reason": reason,
            "message": message,
            "initiated_by": status.initiated_by or run.initiated_by,
            "observed_generation": run.generation,
        }
    )


def waiting(run: Run, status: Status, reason: str, message: str, now: datetime) -> Status:
    """Pending on something outside: another run's lock, or a pod that has not come up."""
    return summarized(run, status, {ConditionType.PROGRESSING: False}, reason, message, now)


def observed(run: Run, status: Status, reason: str, message: str, now: datetime) -> Status:
    """What the run is doing at the moment."""
    return summarized(run, status, {ConditionType.PROGRESSING: True}, reason, message, now)
