"""Conditions and phases. The conditions of a resource are the truth about it; its phase is derived from them for people."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import StringConstraints

from quotenode_backup.api.fields import StatusModel

MESSAGE_LIMIT = 1024

Word = Annotated[str, StringConstraints(max_length=63)]
Sentence = Annotated[str, StringConstraints(max_length=MESSAGE_LIMIT)]


class Phase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    SCHEDULED = "Scheduled"
    SUSPENDED = "Suspended"
    RECREATED = "Recreated"


class ConditionType(StrEnum):
    """Job's words where it has them, so that `kubectl wait` reads alike."""

    ACCEPTED = "Accepted"
    PROGRESSING = "Progressing"
    COMPLETE = "Complete"
    FAILED = "Failed"
    VERIFIED = "Verified"
    LOCAL_BUNDLE_PRESENT = "LocalBundlePresent"
    AUDIT_LOGGED = "AuditLogged"
    STALE = "Stale"
    RECREATED = "Recreated"
    RESTORED = "Restored"
    REPLACED_DATA_KEPT = "ReplacedDataKept"
    HEALTHY = "Healthy"


FINISHED = frozenset({ConditionType.COMPLETE, ConditionType.FAILED, ConditionType.RECREATED})
"""A run of which one of these holds does not run any more."""


class Condition(StatusModel):
    """One observation, with the fields that conditions have throughout Kubernetes."""

    type: Word
    """Type of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds: True, False or Unknown."""
    reason: Word
    """Why the condition has this status, in one word."""
    message: Sentence
    """Why the condition has this status, in one sentence."""
    last_transition_time: datetime
    """When `status` last changed."""
    observed_generation: int
    """Generation of the resource that the condition describes."""
