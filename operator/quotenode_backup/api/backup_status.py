"""The status of a QuoteNodeBackup. Conditions are the truth; `phase` is derived from them for people."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from quotenode_backup.api.fields import StatusModel
from quotenode_backup.domain.reasons import Reason

MESSAGE_LIMIT = 1024
ATTEMPTS_KEPT = 5

Word = Annotated[str, StringConstraints(max_length=63)]
Sentence = Annotated[str, StringConstraints(max_length=MESSAGE_LIMIT)]
Sha256 = Annotated[str, StringConstraints(max_length=64)]


class Phase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    SCHEDULED = "Scheduled"
    SUSPENDED = "Suspended"
    RESTORED = "Restored"


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
    RESTORED = "Restored"


FINISHED = frozenset({ConditionType.COMPLETE, ConditionType.FAILED, ConditionType.RESTORED})
"""A run of which one of these holds does not run any more."""


class Condition(StatusModel):
    """One observation, as Kubernetes has it everywhere."""

    type: Word
    """What is observed."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Word
    """One word why."""
    message: Sentence
    """One sentence why."""
    last_transition_time: datetime
    """When `status` last changed."""
    observed_generation: int
    """Generation of the resource that this is about."""


class Component(StatusModel):
    """A part of the bundle, as stored."""

    size_bytes: int
    """Size in bytes."""
    checksum: Sha256
    """SHA-256."""


class Components(StatusModel):
    """The parts of the bundle."""

    database: Component
    """backup.dump"""
    files: Component | None = None
    """files.tar.gz; absent when the spec names no files."""


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


class Destination(StatusModel):
    """A place that holds the bundle."""

    type: Literal["Local"]
    """Kind of the place."""
    claim_name: Annotated[str, StringConstraints(max_length=253)]
    """PersistentVolumeClaim."""
    path: Annotated[str, StringConstraints(max_length=1024)]
    """Path of the bundle inside the claim."""
    user_id: int | None = None
    """As whom it was written."""


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


class LastRun(StatusModel):
    """The newest run of a schedule."""

    name: Annotated[str, StringConstraints(max_length=253)]
    """Name of the QuoteNodeBackup."""
    phase: Phase | None = None
    """Its phase when it was last looked at."""


class BackupStatus(StatusModel):
    """What has become of the backup."""

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
    size_bytes: int | None = None
    """Size of the bundle in bytes."""
    size: Word | None = None
    """Size of the bundle, for people."""
    checksum: Sha256 | None = None
    """SHA-256 of the bundle, read back from the storage."""
    destinations: Annotated[list[Destination], Field(max_length=2)] = []
    """Where the bundle is."""
    components: Components | None = None
    """The parts of the bundle."""
    notes: int | None = None
    """How many oddities the bundle's manifest.json lists: warnings of pg_dump, files that came or went meanwhile, sockets left out. The log has them too."""
    original_uid: Word | None = None
    """UID of the resource that stored the bundle; present if this resource was created again since, as by a restore of the namespace."""
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
    last_schedule_time: datetime | None = None
    """The last slot that a run was made for."""
    next_schedule_time: datetime | None = None
    """The next slot."""
    last_successful_time: datetime | None = None
    """When a run last completed."""
    last_failed_time: datetime | None = None
    """When a run last failed."""
    last_size_bytes: int | None = None
    """Size in bytes of the last successful run's bundle."""
    last_duration_seconds: int | None = None
    """How long the last successful run took."""
    last_run: LastRun | None = None
    """The newest run."""
    last_trigger: Annotated[str, StringConstraints(max_length=63)] | None = None
    """The last value of spec.trigger that was acted on."""
    missed_slots: int | None = None
    """How many slots passed while the operator was away. Of one downtime 1000 are counted at most."""
    skipped_slots: int | None = None
    """How many slots got no run because the one before was still running, or the new one was refused (Events RunRefused and NameCollision)."""
    slots_from: datetime | None = None
    """Slots after this moment are still to be acted on."""
    observed_schedule: Annotated[str, StringConstraints(max_length=165)] | None = None
    """The schedule and time zone in force, or Suspended. Slots count from the moment it changed."""

    def condition(self, kind: ConditionType) -> Condition | None:
        return next((c for c in self.conditions if c.type == kind), None)

    def holds(self, kind: ConditionType) -> bool:
        found = self.condition(kind)
        return found is not None and found.status == "True"

    @property
    def owes_row(self) -> bool:
        """Whether its row in backup_logs is still to be written, from this very resource."""
        found = self.condition(ConditionType.AUDIT_LOGGED)
        return found is not None and found.reason == Reason.AUDIT_PENDING

    @property
    def is_finished(self) -> bool:
        return any(self.holds(kind) for kind in FINISHED)

    @property
    def is_sought(self) -> bool:
        """Whether its bundle is still to be looked for, since the run came back without its status."""
        found = self.condition(ConditionType.LOCAL_BUNDLE_PRESENT)
        return found is not None and found.reason == Reason.SEARCHING_BUNDLE
