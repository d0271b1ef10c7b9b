"""The plans for the runner. Pure: the plan of an attempt follows from the restore and from what it names."""

from datetime import datetime, timedelta
from decimal import Decimal

from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.restore_objects import RestoreRun
from quotenode_backup.contract.plans import (
    AuditRow,
    Compression,
    InitiatedBy,
    PlannedDatabase,
    PlannedFiles,
    RowStatus,
)
from quotenode_backup.contract.restore_plans import (
    ExpiryPlan,
    HealthPlan,
    LoadPlan,
    PlannedRoom,
    PlannedSecret,
    RestoreSwapPlan,
    VerifyPlan,
)
from quotenode_backup.domain import naming, timing
from quotenode_backup.reconcile.restore.source import Resolved
from quotenode_backup.reconcile.restore.stages import has_swapped_before

NO_CLOCK = timedelta(days=30)
"""A runner has to be told some end. This one is later than any load takes."""
PIN_LASTS = timedelta(days=7)
"""Longer than a restore waits for its lock and loads. The time for which replaced data is kept comes on top."""
_UNITS = {"m": Decimal("0.001"), "": Decimal(1), "k": Decimal(1000)} | {
    unit: Decimal(base) ** power
    for base, suffix in ((1000, ""), (1024, "i"))
    for power, unit in ((p, f"{letter}{suffix}") for p, letter in enumerate("KMGTPE", 1))
    if unit != "K"
}


def verify_plan(run: RestoreRun, found: Resolved, attempt: Attempt) -> VerifyPlan:
    bundle = found.bundle
    assert bundle, "only an undo has no bundle"
    keeps_pin = found.backup is not None and not run.spec.dry_run
    until = attempt.start_time + PIN_LASTS + timedelta(seconds=run.spec.keep_replaced_seconds)
    return VerifyPlan(
        **_common(run, found, attempt.number, _deadline(run, attempt)),
        bundle=bundle,
        room=_room(found),
        allow_other_database=found.database.allow_other_database,
        pin_until=until if keeps_pin else None,
    )


def load_plan(run: RestoreRun, found: Resolved, attempt: Attempt) -> LoadPlan:
    bundle = found.bundle
    assert bundle, "only an undo has no bundle"
    return LoadPlan(
        **_common(run, found, attempt.number, _deadline(run, attempt)),
        bundle=bundle,
        room=_room(found),
        allow_other_database=found.database.allow_other_database,
        expires=attempt.start_time + PIN_LASTS,
    )


def swap_plan(run: RestoreRun, found: Resolved, attempt: Attempt) -> RestoreSwapPlan:
    return RestoreSwapPlan(
        **_common(run, found, attempt.number, attempt.start_time + timing.SWAP_BEGINS_WITHIN),
        bundle_sha256=(run.status.source and run.status.source.sha256) or "",
        is_first=not has_swapped_before(run),
        undo_of=found.undo_of,
        expires=attempt.start_time + timedelta(seconds=run.spec.keep_replaced_seconds),
        own_row=_row(found),
        own_row_id=found.backup.bundle_uid if found.backup else None,
    )


def health_plan(run: RestoreRun, attempt: Attempt) -> HealthPlan:
    check = run.spec.application.health_check if run.spec.application else None
    assert check, "there is something to ask"
    end = attempt.start_time + timedelta(seconds=check.timeout_seconds) + timing.FOLLOWUP_TIME
    return HealthPlan(
        run_uid=run.uid,
        namespace=run.namespace,
        name=run.name,
        attempt=attempt.number,
        deadline=end,
        url=check.url,
        timeout_seconds=check.timeout_seconds,
    )


def expiry_plan(run: RestoreRun, found: Resolved, number: int, now: datetime) -> ExpiryPlan:
    has_pin = found.backup is not None and not run.spec.dry_run
    return ExpiryPlan(
        **_common(run, found, number, now + timing.FOLLOWUP_TIME), bundle=found.bundle if has_pin else None
    )


def _deadline(run: RestoreRun, attempt: Attempt) -> datetime:
    seconds, start = run.spec.active_deadline_seconds, run.status.start_time
    if seconds is None:
        return attempt.start_time + NO_CLOCK
    return timing.runner_deadline(start or attempt.start_time, seconds)


def _common(run: RestoreRun, found: Resolved, number: int, deadline: datetime) -> dict[str, object]:
    admin = found.database.admin_credentials_secret_ref
    return {
        "run_uid": run.uid,
        "namespace": run.namespace,
        "name": run.name,
        "attempt": number,
        "deadline": deadline,
        "database": _database(found),
        "admin": admin
        and PlannedSecret(name=admin.name, username_key=admin.username_key, password_key=admin.password_key),
        "restores_database": found.restores_database,
        "files": tuple(
            PlannedFiles(name=one.name, claim_name=one.claim_name, sub_path=one.sub_path) for one in found.files
        ),
        "allow_replication_loss": found.database.allow_replication_loss,
    }


def _database(found: Resolved) -> PlannedDatabase:
    database = found.database
    authority = database.ca_secret_ref
    return PlannedDatabase(
        host=database.host,
        port=database.port,
        name=database.name,
        ssl_mode=database.ssl_mode.libpq,
        compression=Compression.NONE,
        credentials_secret=database.credentials_secret_ref.name,
        username_key=database.credentials_secret_ref.username_key,
        password_key=database.credentials_secret_ref.password_key,
        ca_secret=authority.name if authority else None,
        ca_key=authority.key if authority else None,
    )


def _room(found: Resolved) -> PlannedRoom:
    given = found.database.free_space
    free = None if given is None else bytes_of(given)
    return PlannedRoom(free_bytes=free, claim_name=found.database.claim_name)


def bytes_of(quantity: int | str) -> int:
    """As Kubernetes reads a quantity."""
    text = str(quantity)
    number = text.rstrip("mkKMGTPEi")
    return int(Decimal(number) * _UNITS[text.removeprefix(number)])


def _row(found: Resolved) -> AuditRow | None:
    """As the backup's own runner wrote it when the backup was complete."""
    run = found.backup
    if run is None or not run.status.destinations or run.status.start_time is None:
        return None
    place = run.status.destinations[0]
    return AuditRow(
        status=RowStatus.COMPLETED,
        initiated_by=InitiatedBy(run.status.initiated_by or run.initiated_by),
        started=run.status.start_time,
        completed=run.status.completion_time,
        size_bytes=run.status.size_bytes,
        destination=naming.local_url(place.claim_name, place.path),
        sha256=run.status.checksum,
    )
