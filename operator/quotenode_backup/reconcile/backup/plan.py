"""What the runner is told: the plan of an attempt, from the run alone, so that making it twice makes the same one. Pure."""

from datetime import datetime

from quotenode_backup.api.backup import AuditLog, BackupSpec
from quotenode_backup.api.backup_status import Attempt, ConditionType, Destination
from quotenode_backup.api.finished_mark import MarkedBundle
from quotenode_backup.cluster.objects import Run
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


def plan_of(run: Run, spec: BackupSpec, attempt: Attempt) -> BackupPlan:
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


def record_plan(run: Run, spec: BackupSpec, number: int, now: datetime) -> RecordPlan:
    """The row of a run that has ended, as its status has it."""
    return RecordPlan(
        run_uid=run.uid,
        namespace=run.namespace,
        name=run.name,
        attempt=number,
        deadline=now + timing.TASK_TIME,
        database=_database(spec),
        row=_row(run, spec),
        original_uid=_original_uid(run),
    )


def _row(run: Run, spec: BackupSpec) -> AuditRow:
    status, local = run.status, spec.storage.local
    is_complete = status.holds(ConditionType.COMPLETE)
    return AuditRow(
        status=RowStatus.COMPLETED if is_complete else RowStatus.FAILED,
        initiated_by=_initiator(run),
        started=run.began,
        completed=status.completion_time,
        size_bytes=status.size_bytes,
        destination=naming.local_url(local.claim_name, _path(run, spec)),
        sha256=status.checksum,
        error=None if is_complete else f"{status.reason}: {status.message}",
    )


def _initiator(run: Run) -> InitiatedBy:
    return InitiatedBy(run.status.initiated_by or run.initiated_by)


def _path(run: Run, spec: BackupSpec) -> str:
    return run.status.destinations[0].path if run.status.destinations else bundle_home(run, spec)


def bundle_home(run: Run, spec: BackupSpec) -> str:
    """The folder of the run's database inside the claim, with a slash at its end."""
    database = spec.database
    return naming.bundle_home(spec.storage.local.sub_path, run.namespace, database.host, database.port, database.name)


def removal_plan(run: Run, bundle: Destination, number: int, now: datetime) -> RemovalPlan:
    return RemovalPlan(
        run_uid=run.uid,
        namespace=run.namespace,
        name=run.name,
        attempt=number,
        deadline=now + timing.TASK_TIME,
        local=PlannedClaim(claim_name=bundle.claim_name),
        path=bundle.path,
        original_uid=_original_uid(run),
    )


def search_plan(run: Run, bundle: MarkedBundle, number: int, now: datetime) -> SearchPlan:
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


def _original_uid(run: Run) -> str | None:
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
