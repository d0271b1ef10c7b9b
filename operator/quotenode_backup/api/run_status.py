"""What the status of anything that runs has: a phase, conditions, attempts, and what it has stopped."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from quotenode_backup.api.conditions import FINISHED, Condition, ConditionType, Phase, Sentence, Word
from quotenode_backup.api.fields import StatusModel

ATTEMPTS_KEPT = 5


class Attempt(StatusModel):
    """One Job of this run."""

    number: int
    """Counts from 1."""
    job_name: Annotated[str, StringConstraints(max_length=63)]
    """Name of the Job; its pod's log tells the whole story for a day."""
    user_id: int | None = None
    """As whom its pod runs, as far as that was known when it was begun."""
    start_time: datetime
    """When the attempt was begun."""
    completion_time: datetime | None = None
    """When it was known to be over."""
    reason: Word | None = None
    """How it ended."""
    message: Sentence | None = None
    """How it ended, in a sentence."""
    exit_code: int | None = None
    """Exit code of the runner, where it lived to have one."""
    obstacle: Sentence | None = None
    """What kept its pod from running when it was last looked at."""


class StoppedWorkload(StatusModel):
    """Something of the application that an offline run stops."""

    kind: Literal["Deployment", "StatefulSet"]
    """Deployment or StatefulSet."""
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
    """Its name."""
    uid: Annotated[str, StringConstraints(max_length=63)]
    """Its UID: one that is made anew under this name is another."""
    replicas: Annotated[int, Field(ge=0)]
    """How many it had, and gets again."""


class StoppedApplication(StatusModel):
    """What an offline run has stopped, or is about to."""

    workloads: Annotated[list[StoppedWorkload], Field(max_length=8)]
    """Each with what it had."""
    user_id: int
    """As whom the files can be read: with the application's pods gone, nobody else knows."""


class RunStatus(StatusModel):
    phase: Phase | None = None
    """Pending, Running, Completed or Failed: a summary of the conditions. Restored: the resource was made again without its status, and its bundle is not found (yet). Of a schedule Scheduled, Suspended, or Failed when it can't be read."""
    initiated_by: Word | None = None
    """Admin (this object was made by somebody) or Scheduler."""
    reason: Word | None = None
    """One word why the run is where it is."""
    message: Sentence | None = None
    """One sentence: what happened and what to do next."""
    start_time: datetime | None = None
    """When the run got the database's lock. The deadline counts from here."""
    completion_time: datetime | None = None
    """When the run ended, well or not."""
    job_name: Annotated[str, StringConstraints(max_length=63)] | None = None
    """The newest Job."""
    attempts: Annotated[list[Attempt], Field(max_length=ATTEMPTS_KEPT)] = []
    """The last attempts, oldest first."""
    stopped: StoppedApplication | None = None
    """What this run stops for an offline backup, until all of it has been started again."""
    failures: int = 0
    """How many attempts count against `backoffLimit`. Waiting for a lock does not."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = []
    """The truth, for `kubectl wait`."""
    observed_generation: int | None = None
    """Generation of the resource that this status is about."""
    admission_policy: Annotated[str, StringConstraints(max_length=63)] | None = None
    """UID of the admission policy that was in force when this generation was accepted, or of its binding if that was the younger: its author was asked."""

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
