"""QuoteNodeBackup: one run of a backup, from `kubectl apply` to a verified bundle."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from quotenode_backup.api.database import Database
from quotenode_backup.api.fields import ObjectName, SpecModel, SubPath, rule, rules
from quotenode_backup.api.pod import Pod

KIND = "QuoteNodeBackup"
PLURAL = "quotenodebackups"
SHORT_NAME = "qnb"
NAME_LIMIT = 63
"""Characters of a resource's name: it becomes the value of a label."""


class FilesSource(SpecModel):
    """A volume of uploads or PDFs. It is mounted read-only."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^(\.|[A-Za-z0-9_][A-Za-z0-9._-]*)$")]
    """Folder inside files.tar.gz. `.` is the archive's root, as QuoteNode's own backups have it; then it must be the only one."""
    claim_name: ObjectName
    """PersistentVolumeClaim in the same namespace."""
    sub_path: SubPath = ""
    """Folder inside the claim; empty for all of it."""


class LocalStorage(SpecModel):
    """A volume that keeps the bundles."""

    claim_name: ObjectName
    """PersistentVolumeClaim in the same namespace."""
    sub_path: SubPath = ""
    """Folder inside the claim. In it each database gets a folder of its own."""


class Storage(SpecModel):
    """Where the bundle goes."""

    local: LocalStorage
    """A volume in this cluster that keeps the bundles. On the database's own disk it protects against mistakes, not against the loss of the disk."""


class Workload(SpecModel):
    """What runs the application, in the same namespace."""

    kind: Literal["Deployment", "StatefulSet"] = "Deployment"
    """Deployment or StatefulSet."""
    name: ObjectName
    """Its name."""


class Application(SpecModel):
    """The application whose data this is."""

    workloads: Annotated[
        list[Workload],
        Field(
            min_length=1,
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind", "name"]},
        ),
    ]
    """Everything that writes to the database or the files: QuoteNode's backend and backup-worker."""


class Retention(SpecModel):
    """Which local bundles of this database stay."""

    keep_last: Annotated[int, Field(ge=1, le=365)] = 7
    """How many of the newest good bundles stay. Older ones are removed after a backup that succeeded, never otherwise, and only if as many newer ones hold the same volumes."""


class Mode(StrEnum):
    ONLINE = "Online"
    OFFLINE = "Offline"


class DeletionPolicy(StrEnum):
    RETAIN = "Retain"
    DELETE = "Delete"


class AuditLog(StrEnum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"


# What a schedule's absent fields mean.
ZONE = "Etc/UTC"
STARTING_DEADLINE = 3600
STALE_AFTER = 172_800
SUCCESSFUL_RUNS_KEPT = 50
FAILED_RUNS_KEPT = 10
SCHEDULE_FIELDS = (
    "schedule",
    "time_zone",
    "suspend",
    "trigger",
    "starting_deadline_seconds",
    "stale_after_seconds",
    "successful_runs_history_limit",
    "failed_runs_history_limit",
)
"""Without `schedule` they are refused. They have no default in the schema, which would put them into every one-off."""
SCHEDULE_NAME_LIMIT = 52
"""Characters: its runs have eleven more."""


_FROZEN = "a backup's spec can't be changed, but for deletionPolicy: make a new QuoteNodeBackup"
_FROZEN_FIELDS = (
    "database",
    "files",
    "storage",
    "retention",
    "mode",
    "application",
    "activeDeadlineSeconds",
    "backoffLimit",
    "auditLog",
    "pod",
)


def _unchanged(field: str) -> str:
    return f"(has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field}))"


class BackupSpec(SpecModel):
    """What to back up, where to, and when. Without schedule it is one run, which can't be changed; with it, it makes runs."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": rules(
            rule(
                "has(self.schedule) == has(oldSelf.schedule)",
                "a one-off can't become a schedule, nor a schedule a one-off: make a new QuoteNodeBackup",
            ),
            *(rule(f"has(self.schedule) || {_unchanged(field)}", _FROZEN) for field in _FROZEN_FIELDS),
            rule(
                "has(self.schedule) || (!has(self.timeZone) && !has(self.suspend) && !has(self.trigger)"
                " && !has(self.startingDeadlineSeconds) && !has(self.staleAfterSeconds)"
                " && !has(self.successfulRunsHistoryLimit) && !has(self.failedRunsHistoryLimit))",
                "timeZone, suspend, trigger, startingDeadlineSeconds, staleAfterSeconds and the history limits"
                " are for a schedule: set schedule too",
            ),
            rule(
                "self.mode != 'Offline' || has(self.application)",
                "mode Offline needs application.workloads: what to stop and start again",
            ),
            rule(
                "!has(self.files) || self.files.size() < 2 || self.files.all(f, f.name != '.')",
                "files: the name . takes the whole archive, so it must be the only one",
            ),
            rule(
                "!has(self.files) || self.files.all(f, f.claimName != self.storage.local.claimName"
                " || (f.subPath != '' && !(self.storage.local.subPath + '/').startsWith(f.subPath + '/')))",
                "storage.local lies inside one of files: each bundle would hold all the bundles before it",
            ),
        )
    }

    schedule: (
        Annotated[
            str,
            StringConstraints(
                min_length=9,
                max_length=100,
                pattern=r"^([0-5]?[0-9] )?[0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4}$",
            ),
        ]
        | None
    ) = None
    """When to back up: a cron expression of 5 fields, or of 6 with a number of seconds first, such as `0 0 2 * * *`. Absent: once, now."""
    time_zone: (
        Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")]
        | None
    ) = None
    """IANA time zone of the schedule, such as Europe/Berlin. Absent: Etc/UTC."""
    suspend: bool | None = None
    """Whether no slot starts a run for now. A trigger still does."""
    trigger: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = None
    """Any new value starts one run now, such as the date and your name."""
    starting_deadline_seconds: Annotated[int, Field(ge=10, le=604800)] | None = None
    """A slot that is noticed later than this, after a downtime of the operator, counts as missed. Absent: 3600."""
    stale_after_seconds: Annotated[int, Field(ge=60, le=31622400)] | None = None
    """When the last successful backup is older than this, condition Stale says so. Absent: 172800, two days."""
    successful_runs_history_limit: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many successful runs of this schedule stay as resources. One whose local bundle exists always stays. Absent: 50."""
    failed_runs_history_limit: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many failed runs of this schedule stay as resources. Absent: 10."""
    retention: Retention | None = None
    """Which local bundles of this database stay after a success, whoever made them. Absent: the newest 7 for a schedule; a run without schedule removes none, but its bundle counts for the schedules that share the folder, and goes in its turn. One with a file `<bundle>.keep` beside it always stays."""
    mode: Mode = Mode.ONLINE
    """Online: the application goes on serving. Offline: it is stopped before and always started again."""
    application: Application | None = None
    """What mode Offline stops and starts."""
    database: Database
    """The PostgreSQL database to dump."""
    files: Annotated[
        list[FilesSource],
        Field(
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    """The volumes of uploads and PDFs. None: the database alone is backed up."""
    storage: Storage
    """Where the bundle goes."""
    active_deadline_seconds: Annotated[int, Field(ge=30, le=604800)] = 1800
    """Seconds from the moment the run has the database's lock, over all attempts. Then it is ended and Failed. Its last minute is for cleaning up. Waiting for the lock is not counted."""
    backoff_limit: Annotated[int, Field(ge=0, le=10)] = 1
    """How many further attempts follow a failure that another attempt can cure."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """Delete: deleting the resource deletes its local bundle too, once the operator has put its finalizer on. The one field that can be changed on a one-off."""
    audit_log: AuditLog = AuditLog.ENABLED
    """Whether each run is also a row of QuoteNode's table backup_logs, in the database that is backed up."""
    pod: Pod = Field(default_factory=Pod)
    """The few things about the runner's pod that can be chosen."""

    @property
    def claim_names(self) -> set[str]:
        """The claims that a backup reads or writes."""
        return {files.claim_name for files in self.files} | {self.storage.local.claim_name}

    @property
    def zone(self) -> str:
        return self.time_zone or ZONE

    @property
    def starting_deadline(self) -> int:
        """Seconds."""
        return self.starting_deadline_seconds or STARTING_DEADLINE

    @property
    def stale_after(self) -> int:
        """Seconds."""
        return self.stale_after_seconds or STALE_AFTER

    @property
    def successful_runs_kept(self) -> int:
        asked = self.successful_runs_history_limit
        return SUCCESSFUL_RUNS_KEPT if asked is None else asked

    @property
    def failed_runs_kept(self) -> int:
        asked = self.failed_runs_history_limit
        return FAILED_RUNS_KEPT if asked is None else asked
