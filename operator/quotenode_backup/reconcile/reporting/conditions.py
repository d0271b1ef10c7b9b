"""The conditions of a status, and the phase derived from them. Each function is pure and returns the next status."""

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
    """The status, reason and message that a condition is to have."""

    holds: bool | None
    """None becomes `Unknown`: it still has to be found out."""
    reason: str
    message: str


def with_conditions(
    resource: Resource, status: Status, found: Mapping[ConditionType, Finding], now: datetime
) -> Status:
    """A condition's `lastTransitionTime` changes only when its status does."""
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
    """The status with these conditions, and with the reason, message and phase that match them."""
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
    """The run is Pending because it waits for something outside of it, such as a lock that another run holds."""
    return summarized(run, status, {ConditionType.PROGRESSING: False}, reason, message, now)


def observed(run: Run, status: Status, reason: str, message: str, now: datetime) -> Status:
    """The run is Running, and `message` says what it is doing."""
    return summarized(run, status, {ConditionType.PROGRESSING: True}, reason, message, now)
