"""Kubernetes objects as values, with only the fields that decisions depend on."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.finished_mark import FinishedMark
from quotenode_backup.api.run_status import RunStatus, StoppedWorkload
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.domain import timing
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.target import Target

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What all our custom resources have in common. Each kind narrows the type of the status to its own."""

    owner: Owner
    """The resource itself, as its Jobs, Events and locks refer to it."""
    resource_version: str
    generation: int
    created: datetime
    deleting: bool
    status: RunStatus
    has_finalizer: bool = False
    """Whether the deletion of the resource waits until the operator has removed what the resource left behind."""
    approved: str = ""
    """UID of the admission policy that somebody approved the resource for later, by an annotation."""

    @property
    def namespace(self) -> str:
        return self.owner.namespace

    @property
    def name(self) -> str:
        return self.owner.name

    @property
    def uid(self) -> str:
        return self.owner.uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Resource):
    """A resource of any kind that does its work once."""

    initiated_by: InitiatedBy = InitiatedBy.ADMIN
    mark: FinishedMark | None = None
    """The annotation that says how the run finished. None when there is none, or when it is not about this run."""

    @property
    def began(self) -> datetime:
        """When the run got its lock; before that, when it was created."""
        return self.status.start_time or self.made

    @property
    def made(self) -> datetime:
        """When the run was first created; for a recreated run when it ended, as no earlier time is sure to be known."""
        return self.mark.completion_time if self.mark and self.came_back else self.created

    @property
    def came_back(self) -> bool:
        """Whether the resource was deleted and created again, alone or with its namespace, after the run finished."""
        return self.original_uid != self.uid

    @property
    def is_history(self) -> bool:
        """Whether the run has finished but lost the status that says so. It must not run again."""
        return self.mark is not None and not self.status.is_finished

    @property
    def is_over(self) -> bool:
        return self.status.is_finished or self.is_history

    @property
    def original_uid(self) -> str:
        """The UID that the resource had when it ran. What it left behind is marked with it."""
        return self.mark.uid if self.mark else self.status.original_uid or self.uid

    @property
    def target(self) -> Target | None:
        """The database that it locks. None: nobody can tell, such as when its spec can't be read."""
        return None

    @property
    def deadline(self) -> datetime | None:
        """When the run's Job must have ended and its application must serve again. None: no clock ends it."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup(Run):
    """A QuoteNodeBackup that makes one backup, whether its spec can be read or not."""

    status: BackupStatus
    schedule: str = ""
    """Name of the schedule that created the run; empty for a one-off."""
    schedule_uid: str = ""

    @property
    def bundle_uid(self) -> str:
        """In the commit record of the run's bundle and in its row in backup_logs."""
        return self.original_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRun(Backup):
    """A backup whose spec fits our types."""

    spec: BackupSpec

    @property
    def target(self) -> Target:
        return self.spec.database.in_namespace(self.namespace)

    @property
    def deadline(self) -> datetime:
        return timing.deadline(self.began, self.spec.active_deadline_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRun(Backup):
    """A backup whose spec does not fit our types, since it was created under another release's CRD."""

    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Resource):
    """A QuoteNodeBackup that creates runs on a cron schedule."""

    status: BackupStatus
    spec: BackupSpec
    last_trigger: str | None = None
    """The trigger that was acted on last, as an annotation has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableSchedule(Resource):
    """A schedule whose spec does not fit our types."""

    status: BackupStatus
    fault: str


AnyBackup = BackupRun | UnreadableRun | Schedule | UnreadableSchedule
"""What a QuoteNodeBackup is parsed into."""


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    uid: str
    owner_uid: str | None
    """UID of the owner that is its controller; None when it has no such owner."""
    run_uid: str | None
    """UID of the resource in the Job's labels."""
    created: datetime
    complete: bool
    failed: bool
    failed_reason: str
    ttl_set: bool
    deleting: bool
    number: int = 1
    """The number of the attempt, from 1."""
    ended: datetime | None = None

    @property
    def is_finished(self) -> bool:
        return self.complete or self.failed


@dataclass(frozen=True, slots=True)
class Pod:
    name: str
    job_name: str | None
    phase: str
    reason: str
    """Why the pod as a whole ended, such as `Evicted`."""
    node: str | None
    deleting: bool
    scheduled: datetime | None
    """When the pod was assigned to a node."""
    unscheduled_message: str
    """Why the scheduler finds no node; empty once it has found one."""
    waiting_reason: str
    """Such as `ErrImagePull`; empty when the container runs or has ended."""
    waiting_message: str
    exit_code: int | None
    terminated_reason: str
    termination_message: str

    @property
    def is_over(self) -> bool:
        return self.phase in {"Succeeded", "Failed"}


class Stopped(BaseModel):
    """What an offline run stopped, as its Lease records it."""

    model_config = ConfigDict(frozen=True)

    workloads: tuple[StoppedWorkload, ...]
    user: int
    """ID of the user that can read the files. It is recorded because only the application's pods show it."""
    serve_by: AwareDatetime | None = None
    """When everything must have been started again."""


@dataclass(frozen=True, slots=True)
class Mounter:
    """A live pod that mounts a claim, with its node and the user ID that it runs as."""

    pod: str
    node: str
    user: int | None
    tolerations: tuple[Json, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Claim:
    name: str
    access_modes: frozenset[str]
    deleting: bool = False
    """Whether the claim has been deleted and exists only until the last pod that mounts it has ended."""
    owner_uids: frozenset[str] = frozenset()
    """UIDs of its owners. The garbage collector deletes the claim together with them."""

    @property
    def is_shared(self) -> bool:
        """Whether pods on several nodes can mount it."""
        return bool(self.access_modes & {"ReadWriteMany", "ReadOnlyMany"})

    @property
    def is_single_pod(self) -> bool:
        return self.access_modes == {"ReadWriteOncePod"}


@dataclass(frozen=True, slots=True)
class Lease:
    """The lock of one database."""

    namespace: str
    name: str
    resource_version: str
    holder: Owner | None
    """None when the lock is free."""
    target: str
    """The database, for people to read."""
    transitions: int
    break_for: str
    """UID of a holder whose lock an administrator allows to be broken, although its pod has not been seen to end."""
    stopped: Stopped | None = None
    """What the holder stopped and has not started again."""

    def is_held_by(self, owner: Owner) -> bool:
        return self.holder is not None and self.holder.uid == owner.uid
