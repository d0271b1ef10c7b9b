"""What the runner is told: the plan of an attempt, from the run alone, so that making it twice makes the same one. Pure."""

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.status import Attempt
from quotenode_backup.cluster.views import Run
from quotenode_backup.contract import InitiatedBy, Plan, PlannedClaim, PlannedDatabase, PlannedFiles
from quotenode_backup.domain import timing


def plan_of(run: Run, spec: BackupSpec, attempt: Attempt) -> Plan:
    started = run.status.start_time or attempt.start_time
    local = spec.storage.local
    return Plan(
        run_uid=run.uid,
        namespace=run.namespace,
        name=run.name,
        attempt=attempt.number,
        initiated_by=InitiatedBy(run.status.initiated_by or InitiatedBy.ADMIN),
        started=started,
        deadline=timing.runner_deadline(started, spec.active_deadline_seconds),
        database=_database(spec),
        files=tuple(
            PlannedFiles(name=files.name, claim_name=files.claim_name, sub_path=files.sub_path) for files in spec.files
        ),
        local=PlannedClaim(claim_name=local.claim_name, sub_path=local.sub_path),
    )


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
