"""What the status of anything that runs has: a phase, conditions, attempts, and what it has stopped."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from quotenode_backup.api.conditions import FINISHED, Condition, ConditionType, Phase, Sentence, Word
from quotenode_backup.api.fields import StatusModel, keyed_by

ATTEMPTS_KEPT = 5


class Attempt(StatusModel):
    """One attempt of the run, which is one Job."""

    number: int
    """Number of the attempt, starting at 1."""
    job_name: Annotated[str, StringConstraints(max_length=63)]
    """Name of the Job, whose pod's log can be read for a day after the run has ended."""
    user_id: int | None = None
    """User ID that the pod runs as, if it was known when the attempt began."""
    start_time: datetime
    """When the attempt began."""
    completion_time: datetime | None = None
    """When the operator saw that the attempt had ended."""
    reason: Word | None = None
    """How the attempt ended, in one word."""
    message: Sentence | None = None
    """How the attempt ended, in one sentence."""
    exit_code: int | None = None
    """Exit code of the runner, if it is known."""
    obstacle: Sentence | None = None
    """What kept the pod from running when the operator last looked."""


class StoppedWorkload(StatusModel):
    """A workload of the application that an offline run stops."""

    kind: Literal["Deployment", "StatefulSet"]
    """Kind of the workload: Deployment or StatefulSet."""
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
    """Name of the workload."""
    uid: Annotated[str, StringConstraints(max_length=63)]
    """UID of the workload. A workload that was created again under the same name has another UID, and is left alone."""
    replicas: Annotated[int, Field(ge=0)]
    """How many replicas the workload had, and gets back."""


class StoppedApplication(StatusModel):
    """What an offline run has stopped, or is about to."""

    workloads: Annotated[list[StoppedWorkload], Field(max_length=8)]
    """The workloads, with the replicas that each had."""
    user_id: int
    """User ID that can read the files. It is recorded since only the application's pods show it, and they are gone by then."""


class RunStatus(StatusModel):
    phase: Phase | None = None
    """Summary of the conditions: Pending, Running, Completed or Failed, or Recreated if the resource was created again without its status and its bundle has not been found. A schedule is Scheduled, Suspended, or Failed if no run can be made from it."""
    initiated_by: Word | None = None
    """Scheduler if a slot started the run, Admin if a person did."""
    reason: Word | None = None
    """Why the resource is in its phase, in one word."""
    message: Sentence | None = None
    """What happened and what to do next, in one sentence."""
    start_time: datetime | None = None
    """When the run acquired the database's lock. The deadline counts from this time."""
    completion_time: datetime | None = None
    """When the run ended, successfully or not."""
    job_name: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Name of the newest Job."""
    attempts: Annotated[list[Attempt], Field(max_length=ATTEMPTS_KEPT)] = []
    """The last 5 attempts, oldest first."""
    stopped: StoppedApplication | None = None
    """The workloads that this run has stopped, or is about to stop, for an offline backup. Absent once all of them have been started again."""
    failures: int = 0
    """How many attempts count against `backoffLimit`. An attempt that found the database locked does not count."""
    original_uid: Word | None = None
    """UID that the resource had when it ran. Present only if the resource was created again since, such as by a restore of the namespace."""
    conditions: Annotated[
        list[Condition],
        Field(max_length=16, json_schema_extra=keyed_by("type")),
    ] = []
    """Observations from which the phase is derived, and that `kubectl wait` can wait for."""
    observed_generation: int | None = None
    """Generation of the resource that this status describes."""
    admission_policy: Annotated[str, StringConstraints(max_length=63)] | None = None
    """UID of the admission policy, or of its binding if that was newer, that was in force when this generation was accepted. It shows that the author's permissions were checked."""

    def condition(self, kind: ConditionType) -> Condition | None:
        return next((c for c in self.conditions if c.type == kind), None)

    def holds(self, kind: ConditionType) -> bool:
        found = self.condition(kind)
        return found is not None and found.status == "True"

    def is_unknown(self, kind: ConditionType) -> bool:
        """Whether somebody still has to find out."""
        found = self.condition(kind)
        return found is not None and found.status == "Unknown"

    @property
    def is_finished(self) -> bool:
        return any(self.holds(kind) for kind in FINISHED)
