"""The few facts about Kubernetes objects that a decision rests on, parsed once into values."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.finished_mark import FinishedMark
from quotenode_backup.api.run_status import StoppedWorkload
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.domain import timing
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.target import Target

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What every custom resource of ours has."""

    owner: Owner
    """The resource itself, as its Jobs, Events and locks name it."""
    resource_version: str
    generation: int
    created: datetime
    deleting: bool
    status: BackupStatus
    has_finalizer: bool = False
    """Its deletion waits until its local bundle is gone."""
    approved: str = ""
    """The admission policy whose judgement somebody asked for later."""

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
    """A QuoteNodeBackup that makes one backup."""

    schedule: str = ""
    """The schedule that made it; empty for a one-off."""
    schedule_uid: str = ""
    initiated_by: InitiatedBy = InitiatedBy.ADMIN
    mark: FinishedMark | None = None
    """What its annotation says about its end. None when there is no annotation, or one that is not about this run."""

    @property
    def began(self) -> datetime:
        """When it got its database's lock; before that, when it was made."""
        return self.status.start_time or self.made

    @property
    def made(self) -> datetime:
        """When it was made, the first time: of one that came back only its end is known."""
        return self.mark.completion_time if self.mark and self.came_back else self.created

    @property
    def came_back(self) -> bool:
        """Whether its resource was deleted, or lost with its namespace, and made again after the run had finished."""
        return self.bundle_uid != self.uid

    @property
    def is_history(self) -> bool:
        """Whether it finished once and does not know it any more: it must not run again."""
        return self.mark is not None and not self.status.is_finished

    @property
    def is_over(self) -> bool:
        return self.status.is_finished or self.is_history

    @property
    def bundle_uid(self) -> str:
        """The UID that the commit record of its bundle, and its row in backup_logs, have."""
        return self.mark.uid if self.mark else self.status.original_uid or self.uid

    @property
    def deadline(self) -> datetime | None:
        """When its Job must have ended, and its application serve again. None: nobody can tell."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRun(Run):
    spec: BackupSpec

    @property
    def target(self) -> Target:
        database = self.spec.database
        return Target(self.namespace, database.host, database.port, database.name)

    @property
    def deadline(self) -> datetime:
        return timing.deadline(self.began, self.spec.active_deadline_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRun(Run):
    """A run whose spec does not fit our types: made under another release's CRD."""

    fault: str
    """What does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Resource):
    """A QuoteNodeBackup that makes others by the clock."""

    spec: BackupSpec
    last_trigger: str | None = None
    """The trigger that its annotation says was acted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableSchedule(Resource):
    """A schedule whose spec does not fit our types."""

    fault: str


AnyBackup = BackupRun | UnreadableRun | Schedule | UnreadableSchedule
"""What a QuoteNodeBackup is parsed to, once."""


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    uid: str
    owner_uid: str | None
    """UID of its controller; None when it has none."""
    run_uid: str | None
    """UID of the resource that its labels name."""
    created: datetime
    complete: bool
    failed: bool
    failed_reason: str
    ttl_set: bool
    deleting: bool
    number: int = 1
    """The attempt that it is."""
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
    created: datetime
    deleting: bool
    scheduled: datetime | None
    """When it got its node."""
    unscheduled_message: str
    """What the scheduler says while it finds no node; empty otherwise."""
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
    """What an offline run stopped, as the Lease remembers it."""

    model_config = ConfigDict(frozen=True)

    workloads: tuple[StoppedWorkload, ...]
    user: int
    """As whom the files can be read: with the application's pods gone, nobody else knows."""
    serve_by: AwareDatetime | None = None
    """When all of it must have been started again."""


@dataclass(frozen=True, slots=True)
class Mounter:
    """A live pod that has a claim mounted: where it is, and as whom it reads."""

    pod: str
    node: str
    user: int | None
    tolerations: tuple[Json, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Claim:
    name: str
    access_modes: frozenset[str]
    deleting: bool = False
    """It is only kept by the pods that have it mounted, and is gone after the last of them."""
    owner_uids: frozenset[str] = frozenset()
    """The garbage collector deletes it together with its owner."""

    @property
    def is_shared(self) -> bool:
        """Whether pods on several nodes can have it."""
        return bool(self.access_modes & {"ReadWriteMany", "ReadOnlyMany"})

    @property
    def is_single_pod(self) -> bool:
        return self.access_modes == {"ReadWriteOncePod"}


@dataclass(frozen=True, slots=True)
class PodClaims:
    """The claims that a pod mounts. An ephemeral volume is not among them: its claim is part of the pod."""

    pod: str
    uid: str
    claims: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lease:
    """The lock of one database."""

    namespace: str
    name: str
    resource_version: str
    holder: Owner | None
    """None when it is free."""
    target: str
    """For people: which database this is."""
    transitions: int
    break_for: str
    """The holder that an admin allows to be replaced though its pod can't be seen to have ended."""
    stopped: Stopped | None = None
    """What the holder stopped and has not started again."""

    def is_held_by(self, owner: Owner) -> bool:
        return self.holder is not None and self.holder.uid == owner.uid


Workload = tuple[str, str]
"""Kind and name, such as `Deployment` and `backend`."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many pods a workload is to have."""

    kind: Literal["Deployment", "StatefulSet"]
    name: str
    uid: str
    """Of the workload."""
    resource_version: str
    replicas: int
    selector: str
    """Selects its pods."""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class StatefulSet:
    """What of a StatefulSet decides whether it can be scaled down and up again without a loss."""

    name: str
    deleting: bool
    deletes_claims: bool
    """`persistentVolumeClaimRetentionPolicy.whenScaled` deletes the claim of each pod that is scaled away."""
