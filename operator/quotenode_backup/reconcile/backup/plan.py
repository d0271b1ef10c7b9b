"""The plans for the runner. Pure: an attempt's plan depends only on the run, so that every pass makes the same plan."""

from datetime import datetime

from quotenode_backup.api.backup import AuditLog, BackupSpec
from quotenode_backup.api.backup_status import Destination
from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.api.finished_mark import MarkedBundle
from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.objects import Backup, BackupRun
from quotenode_backup.contract.plans import (
    AuditRow,
    BackupPlan,
    InitiatedBy,
    PlannedClaim,
    PlannedDatabase,
    PlannedFiles,
    PlannedRetention,
    RecordPlan,
    RemovalPlan,
    RowStatus,
    SearchPlan,
)
from quotenode_backup.domain import naming, timing


def plan_of(run: BackupRun, attempt: Attempt) -> BackupPlan:
    spec = run.spec
    started = run.status.start_time or attempt.start_time
    local = spec.storage.local
    return BackupPlan(
        run_uid=run.uid,
        namespace=run.namespace,
        name=run.name,
        attempt=attempt.number,
        initiated_by=_initiator(run),
        started=started,
        deadline=timing.runner_deadline(started, spec.active_deadline_seconds),
        database=_database(spec),
        files=tuple(
            PlannedFiles(name=files.name, claim_name=files.claim_name, sub_path=files.sub_path) for files in spec.files
        ),
        local=PlannedClaim(claim_name=local.claim_name, sub_path=local.sub_path),
        retention=PlannedRetention(keep_last=spec.retention.keep_last) if spec.retention else None,
        audit=spec.audit_log is AuditLog.ENABLED,
    )


def record_plan(run: BackupRun, number: int, now: datetime) -> RecordPlan:
    """The plan of the Job that writes the row of a finished run, with values from the run's status."""
    return RecordPlan(
        run_uid=run.uid,
        namespace=run.namespace,
        name=run.name,
        attempt=number,
        deadline=now + timing.FOLLOWUP_TIME,
        database=_database(run.spec),
        row=_row(run),
        original_uid=_original_uid(run),
    )


def _row(run: BackupRun) -> AuditRow:
    status, local = run.status, run.spec.storage.local
    is_complete = status.holds(ConditionType.COMPLETE)
    return AuditRow(
        status=RowStatus.COMPLETED if is_complete else RowStatus.FAILED,
        initiated_by=_initiator(run),
        started=run.began,
        completed=status.completion_time,
        size_bytes=status.size_bytes,
        destination=naming.local_url(local.claim_name, _path(run)),
        sha256=status.checksum,
        error=None if is_complete else f"{status.reason}: {status.message}",
    )


def _initiator(run: Backup) -> InitiatedBy:
    return InitiatedBy(run.status.initiated_by or run.initiated_by)


def _path(run: BackupRun) -> str:
    return run.status.destinations[0].path if run.status.destinations else bundle_home(run)


def bundle_home(run: BackupRun) -> str:
    """The folder of the run's database inside the claim, with a slash at its end."""
    return run.target.bundle_home(run.spec.storage.local.sub_path)


def removal_plan(run: Backup, bundle: Destination, number: int, now: datetime) -> RemovalPlan:
    return RemovalPlan(
        run_uid=run.uid,
        namespace=run.namespace,
        name=run.name,
        attempt=number,
        deadline=now + timing.FOLLOWUP_TIME,
        local=PlannedClaim(claim_name=bundle.claim_name),
        path=bundle.path,
        original_uid=_original_uid(run),
    )


def search_plan(run: Backup, bundle: MarkedBundle, number: int, now: datetime) -> SearchPlan:
    return SearchPlan(
        run_uid=run.uid,
        namespace=run.namespace,
        name=run.name,
        attempt=number,
        deadline=now + timing.search_time(bundle.size_bytes),
        local=PlannedClaim(claim_name=bundle.claim_name),
        path=bundle.path,
        size_bytes=bundle.size_bytes,
        sha256=bundle.checksum,
    )


def _original_uid(run: Backup) -> str | None:
    return run.bundle_uid if run.came_back else None


def _database(spec: BackupSpec) -> PlannedDatabase:
    database = spec.database
    authority = database.ca_secret_ref
    return PlannedDatabase(
        host=database.host,
        port=database.port,
        name=database.name,
        ssl_mode=database.ssl_mode.libpq,
        compression=database.compression,
        credentials_secret=database.credentials_secret_ref.name,
        username_key=database.credentials_secret_ref.username_key,
        password_key=database.credentials_secret_ref.password_key,
        ca_secret=authority.name if authority else None,
        ca_key=authority.key if authority else None,
    )
