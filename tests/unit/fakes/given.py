"""Small values of everything that the operator decides on. Each field is as in a run that goes well, unless changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.conditions import Condition, Phase
from quotenode_backup.api.finished_mark import FinishedMark, MarkedBundle
from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.objects import BackupRun, Job, Pod, Schedule
from quotenode_backup.contract.results import BackupResult, Outcome, Result, StoredBundle, StoredComponent
from quotenode_backup.domain.naming import job_name
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.backup_job import BACKUP

UID = "7b3c0f6e-0000-4000-8000-000000000001"
START = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def spec(**changes: Any) -> BackupSpec:
    """`changes`: fields of the spec as YAML has them, such as `backoffLimit=3`."""
    whole: dict[str, Any] = {
        "database": {"host": "db", "name": "shop", "credentialsSecretRef": {"name": "login"}},
        "storage": {"local": {"claimName": "bundles"}},
    }
    return BackupSpec.model_validate(whole | changes)


def condition(kind: str, holds: bool | None = True, *, since: datetime = START) -> Condition:
    return Condition(
        type=kind,
        status="Unknown" if holds is None else str(holds),
        reason="Given",
        message="",
        last_transition_time=since,
        observed_generation=1,
    )


def attempt(number: int = 1, *, reason: Reason | None = None, ended: datetime | None = None) -> Attempt:
    """An attempt that has ended, if it has a reason."""
    return Attempt(
        number=number,
        job_name=job_name(BACKUP, UID, number),
        start_time=START,
        completion_time=(ended or START) if reason else None,
        reason=reason,
        message=f"attempt {number} failed" if reason else None,
    )


def status(*attempts: Attempt, holding: tuple[str, ...] = ("Accepted",), **changes: Any) -> BackupStatus:
    """`failures` counts the failed attempts, unless it is given."""
    counted = [one for one in attempts if one.reason and one.reason != Reason.LOCK_BUSY]
    fields: dict[str, Any] = {
        "conditions": [condition(kind) for kind in holding],
        "attempts": list(attempts),
        "failures": len(counted),
        "start_time": START if attempts else None,
        "job_name": attempts[-1].job_name if attempts else None,
    }
    return BackupStatus(**(fields | changes))


OWNER = Owner("QuoteNodeBackup", "shop", "night", UID)


def run(known: BackupStatus | None = None, *, name: str = "night", uid: str = UID, **changes: Any) -> BackupRun:
    whole = BackupRun(
        owner=replace(OWNER, name=name, uid=uid),
        resource_version="1",
        generation=1,
        created=START,
        deleting=False,
        spec=spec(),
        status=known or BackupStatus(),
    )
    return replace(whole, **changes)


def named(one: BackupRun, name: str) -> BackupRun:
    """The same run under another name."""
    return replace(one, owner=replace(one.owner, name=name))


def schedule(known: BackupStatus | None = None, *, last_trigger: str | None = None, **changes: Any) -> Schedule:
    """`changes`: fields of the spec as YAML has them."""
    return Schedule(
        owner=OWNER,
        resource_version="1",
        generation=1,
        created=START,
        deleting=False,
        spec=spec(**changes),
        status=known or BackupStatus(),
        last_trigger=last_trigger,
    )


def mark(**changes: Any) -> FinishedMark:
    """The annotation of a run that completed when it had another UID."""
    whole = FinishedMark(
        name="night",
        uid="7b3c0f6e-0000-4000-8000-00000000abcd",
        phase=Phase.COMPLETED,
        reason="Completed",
        start_time=START,
        completion_time=START + seconds(60),
        bundle=MarkedBundle(checksum="a" * 64, size_bytes=1500, claim_name="bundles", path="shop-0/one.tar.gz"),
    )
    return whole.model_copy(update=changes)


def job(number: int = 1, **changes: Any) -> Job:
    whole = Job(
        name=job_name(BACKUP, UID, number),
        uid=f"job-{number}",
        owner_uid=UID,
        run_uid=UID,
        created=START,
        complete=False,
        failed=False,
        failed_reason="",
        ttl_set=False,
        deleting=False,
        number=number,
    )
    return replace(whole, **changes)


def pod(number: int = 1, **changes: Any) -> Pod:
    whole = Pod(
        name=f"pod-{number}",
        job_name=job_name(BACKUP, UID, number),
        phase="Running",
        reason="",
        node="worker",
        deleting=False,
        scheduled=START,
        unscheduled_message="",
        waiting_reason="",
        waiting_message="",
        exit_code=None,
        terminated_reason="",
        termination_message="",
    )
    return replace(whole, **changes)


def bundle(**changes: Any) -> StoredBundle:
    whole = StoredBundle(
        path="shop-0/quotenode-backup-20260301-020000.tar.gz",
        size_bytes=1500,
        sha256="a" * 64,
        database=StoredComponent(size_bytes=1000, sha256="b" * 64),
        files=StoredComponent(size_bytes=400, sha256="c" * 64),
        completed=START,
    )
    return whole.model_copy(update=changes)


def result(number: int = 1, **changes: Any) -> BackupResult:
    """The result of an attempt that succeeded, or, with a `reason`, of one that failed for that reason."""
    fields: dict[str, Any] = {
        "run_uid": UID,
        "attempt": number,
        "outcome": Outcome.FAILED if "reason" in changes else Outcome.SUCCEEDED,
        "reason": Reason.COMPLETED,
        "message": "Backed up",
        "bundle": None if "reason" in changes else bundle(),
    }
    return BackupResult(**(fields | changes))


def as_termination_message(reported: Result) -> str:
    return reported.model_dump_json(by_alias=True, exclude_none=True)


def ended_pod(number: int = 1, reported: BackupResult | None = None, exit_code: int = 0, **changes: Any) -> Pod:
    """A pod that has ended, with its termination message."""
    over: dict[str, Any] = {
        "phase": "Failed" if exit_code else "Succeeded",
        "exit_code": exit_code,
        "termination_message": as_termination_message(reported) if reported else "",
    }
    return pod(number, **(over | changes))
