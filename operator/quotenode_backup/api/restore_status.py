"""The status of a QuoteNodeRestore."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from quotenode_backup.api.application import MOST_WORKLOADS
from quotenode_backup.api.conditions import Phase, Sentence, Word
from quotenode_backup.api.fields import StatusModel
from quotenode_backup.api.run_status import RunStatus, StoppedApplication
from quotenode_backup.api.volumes import MOST_VOLUMES

Name = Annotated[str, StringConstraints(max_length=253)]
Text = Annotated[str, StringConstraints(max_length=512)]
Sha256 = Annotated[str, StringConstraints(max_length=64)]
NOTES_KEPT = 16


class RestoreKind(StrEnum):
    WHOLE = "Whole"
    PART = "Part"
    DRY_RUN = "DryRun"
    UNDO = "Undo"


class Stage(StrEnum):
    """In this order. Downtime is from Stopping to Checking."""

    PINNING = "Pinning"
    VERIFYING = "Verifying"
    LOADING = "Loading"
    STOPPING = "Stopping"
    SWAPPING = "Swapping"
    STARTING = "Starting"
    CHECKING = "Checking"


class RestoreTarget(StatusModel):
    """The database that is restored to. Only its lock follows from this."""

    host: Name
    """Host name or IP address of the PostgreSQL server."""
    port: int
    """TCP port of the server."""
    name: Annotated[str, StringConstraints(max_length=63)]
    """Name of the database."""


class ResolvedSource(StatusModel):
    """What `spec.source` stands for. It is looked up once."""

    summary: Text
    """What is restored, in a human-readable form: the name of the backup, the path of the archive, or the restore that is undone."""
    run: Name | None = None
    """Name of the QuoteNodeBackup that made the bundle, or for an undo of the QuoteNodeRestore that is undone."""
    run_uid: Annotated[str, StringConstraints(max_length=63)] | None = None
    """UID of that resource."""
    claim_name: Name | None = None
    """Name of the PersistentVolumeClaim that holds the bundle."""
    bundle: Annotated[str, StringConstraints(max_length=1024)] | None = None
    """Path of the bundle inside the claim."""
    sha256: Sha256 | None = None
    """SHA-256 checksum that the bundle must have."""
    backup_time: datetime | None = None
    """When the backup began: the data is as it was then."""


class RestorePlan(StatusModel):
    """What the restore does, in short. The log of the pod has all of it."""

    tables: int | None = None
    """Number of tables in the backup."""
    rows: int | None = None
    """Number of rows in the backup."""
    entries: int | None = None
    """Number of files and folders in the backup."""
    database_bytes: int | None = None
    """Size in bytes of the database when it was backed up."""
    files_bytes: int | None = None
    """Size in bytes of the files when they were backed up."""
    backup_server_version: Word | None = None
    """Version of the PostgreSQL server that was backed up."""
    live_server_version: Word | None = None
    """Version of the PostgreSQL server that is restored to."""
    backup_application_version: Word | None = None
    """Version of the application's tables in the backup, if it can be told."""
    live_application_version: Word | None = None
    """Version of the application's tables in the live database, if it can be told."""
    overwritten: Annotated[list[Text], Field(max_length=MOST_VOLUMES + 1)] = []
    """The database and the folders that are replaced."""
    stopped: Annotated[list[Text], Field(max_length=MOST_WORKLOADS)] = []
    """The workloads that are stopped."""
    started: Annotated[list[Text], Field(max_length=MOST_WORKLOADS)] = []
    """The workloads that are started afterwards, with their replicas."""
    notes: Annotated[list[Sentence], Field(max_length=NOTES_KEPT)] = []
    """What to know before it is done, such as what was written since the backup and is missing afterwards."""


class Compared(StatusModel):
    """A count of the backup beside the count of what was restored."""

    backup: int
    """Count in the backup."""
    restored: int
    """Count in what was restored."""


class Replaced(StatusModel):
    """The data that was replaced, and is kept so that it can be put back."""

    database: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Name that the replaced database has now. Absent if only files were replaced."""
    size_bytes: int | None = Field(default=None, alias="bytes")
    """Size in bytes of the replaced database and files."""
    until: datetime
    """When the replaced data is removed."""


class RestoreStatus(RunStatus):
    """State of the restore, as the operator last observed it."""

    phase: Literal[Phase.PENDING, Phase.RUNNING, Phase.COMPLETED, Phase.FAILED, Phase.RECREATED] | None = None
    """Summary of the conditions: Pending, Running, Completed or Failed, or Recreated if the resource was created again after it had finished, and is not run again."""
    initiated_by: Word | None = None
    """Admin, since a person created the restore."""
    kind: RestoreKind | None = None
    """What the restore does: Whole restores all of the backup, Part restores what `components` asks for, DryRun changes nothing, and Undo puts replaced data back."""
    stage: Stage | None = None
    """What the restore is doing: Pinning, Verifying, Loading, Stopping, Swapping, Starting or Checking. The application is down from Stopping to Checking only."""
    start_time: datetime | None = None
    """When the restore acquired the database's lock. The deadline counts from this time."""
    completion_time: datetime | None = None
    """When the restore ended, successfully or not."""
    stopped: StoppedApplication | None = None
    """The workloads that this restore has stopped, or is about to stop. Absent once all of them have been started again."""
    failures: int = 0
    """How many attempts count against `backoffLimit`. An attempt that found the database locked does not count."""
    source: ResolvedSource | None = None
    """What `spec.source` stands for. It is looked up once."""
    target: RestoreTarget | None = None
    """The database that is restored to, and whose lock the restore takes."""
    plan: RestorePlan | None = None
    """What the restore does, in short. The log of the pod has all of it."""
    rows: Compared | None = None
    """Rows in the backup, and rows that were counted after they had been loaded."""
    entries: Compared | None = None
    """Files and folders in the backup, and those that were put in place."""
    load_seconds: float | None = None
    """How many seconds it took to load the backup beside the live data, with the application running."""
    stop_time: datetime | None = None
    """When the operator last began to stop the application."""
    stop_seconds: float | None = None
    """How many seconds the application took to stop."""
    swap_seconds: float | None = None
    """How many seconds it took to put the loaded data in the place of the live data, with the application stopped."""
    start_seconds: float | None = None
    """How many seconds the application took to start and to serve again. Only known with `application.healthCheck`."""
    point_of_no_return: datetime | None = None
    """When the loaded data took the place of the live data. Absent as long as nothing has been replaced."""
    replaced: Replaced | None = None
    """The data that was replaced, and is kept so that it can be put back. Absent once it has been removed."""
