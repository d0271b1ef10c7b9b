"""The next status as a value: each function takes a run and says what its status is after one thing has happened. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from quotenode_backup.api.backup import AuditLog
from quotenode_backup.api.backup_status import (
    ATTEMPTS_KEPT,
    MESSAGE_LIMIT,
    Attempt,
    BackupStatus,
    Component,
    Components,
    Condition,
    ConditionType,
    Destination,
    Phase,
    StoppedApplication,
)
from quotenode_backup.cluster.objects import Run, Stopped
from quotenode_backup.contract.results import AuditOutcome, StoredBundle, StoredComponent
from quotenode_backup.domain.naming import job_name
from quotenode_backup.domain.phase import phase
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.text import readable_size, shortened
from quotenode_backup.reconcile.jobs.outcome import Ended

Changes = Mapping[ConditionType, bool | None]
_WORDS: dict[bool | None, Literal["True", "False", "Unknown"]] = {True: "True", False: "False", None: "Unknown"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a condition says."""

    holds: bool | None
    """None: nobody knows (yet)."""
    reason: str
    message: str


def with_conditions(
    run: Run, status: BackupStatus, found: Mapping[ConditionType, Finding], now: datetime
) -> BackupStatus:
    """Each condition keeps the time since when it has held."""
    conditions = {condition.type: condition for condition in status.conditions}
    for kind, finding in found.items():
        old = conditions.get(kind)
        word = _WORDS[finding.holds]
        conditions[kind] = Condition(
            type=kind,
            status=word,
            reason=finding.reason,
            message=shortened(finding.message, MESSAGE_LIMIT),
            last_transition_time=old.last_transition_time if old and old.status == word else now,
            observed_generation=run.generation,
        )
    return status.model_copy(update={"conditions": list(conditions.values())})


def accepted(run: Run, policy: str, now: datetime) -> BackupStatus:
    """`policy`: UID of the one that judged it, if there was to be one."""
    changes = {ConditionType.ACCEPTED: True, ConditionType.PROGRESSING: False}
    status = run.status.model_copy(update={"admission_policy": policy or None})
    return summarized(run, status, changes, Reason.ACCEPTED, "The spec is valid and the pod can be placed", now)


def waiting(run: Run, reason: Reason, message: str, now: datetime) -> BackupStatus:
    """Pending on something outside: another run's lock, or a pod that has not come up."""
    return summarized(run, run.status, {ConditionType.PROGRESSING: False}, reason, message, now)


def attempt_begun(run: Run, number: int, user: int | None, now: datetime) -> BackupStatus:
    name = job_name(run.uid, number)
    attempt = Attempt(number=number, job_name=name, user_id=user, start_time=now)
    status = run.status.model_copy(
        update={
            "start_time": run.status.start_time or now,
            "job_name": name,
            "attempts": [*run.status.attempts, attempt][-ATTEMPTS_KEPT:],
        }
    )
    return summarized(
        run, status, {ConditionType.PROGRESSING: True}, Reason.JOB_CREATED, f"Attempt {number}: Job {name}", now
    )


def observed(run: Run, reason: Reason, message: str, now: datetime) -> BackupStatus:
    """What the attempt's pod does at the moment."""
    return summarized(run, run.status, {ConditionType.PROGRESSING: True}, reason, message, now)


def attempt_ended(run: Run, ended: Ended, now: datetime) -> BackupStatus:
    """The newest attempt is over. A busy lock uses up nothing, and the deadline counts anew from the next attempt."""
    is_busy = ended.reason is Reason.LOCK_BUSY
    update: dict[str, object] = {"attempts": _with_last_ended(run, ended, now)}
    update |= {"start_time": None} if is_busy else {"failures": run.status.failures + 1}
    status = run.status.model_copy(update=update)
    if not is_busy:
        status = _audited(run, status, ended.audit, now)
    reason = Reason.WAITING_FOR_TARGET if is_busy else ended.reason
    return summarized(run, status, {ConditionType.PROGRESSING: not is_busy}, reason, ended.message, now)


def completed(run: Run, bundle: StoredBundle, ended: Ended, now: datetime) -> BackupStatus:
    status = run.status.model_copy(
        update={
            "attempts": _with_last_ended(run, ended, now),
            # When it was, however long nobody looked: the age of the newest backup rests on it.
            "completion_time": min(now, bundle.completed),
            "size_bytes": bundle.size_bytes,
            "size": readable_size(bundle.size_bytes),
            "checksum": bundle.sha256,
            "destinations": [_destination(run, bundle)],
            "components": components(bundle),
            "notes": ended.notes,
        }
    )
    status = _audited(run, status, ended.audit, now)
    changes = {
        ConditionType.PROGRESSING: False,
        ConditionType.COMPLETE: True,
        ConditionType.VERIFIED: True,
        ConditionType.LOCAL_BUNDLE_PRESENT: True,
    }
    return summarized(run, status, changes, Reason.COMPLETED, ended.message, now)


def failed(run: Run, reason: Reason, message: str, now: datetime) -> BackupStatus:
    status = run.status.model_copy(update={"completion_time": now})
    is_of_attempt = bool(status.attempts) and status.attempts[-1].reason == reason
    is_told = is_of_attempt and status.condition(ConditionType.AUDIT_LOGGED) is not None
    # The row would be written with a Secret, at a host, that nobody asked the author about.
    if reason is not Reason.OLDER_THAN_POLICY and not is_told:
        status = _audited(run, status, None, now)
    changes = {ConditionType.PROGRESSING: False, ConditionType.FAILED: True}
    if not status.holds(ConditionType.ACCEPTED):
        changes |= {ConditionType.ACCEPTED: False}
    return summarized(run, status, changes, reason, message, now)


UNRECORDABLE = (Reason.AUDIT_TABLE_UNFIT, Reason.PERMISSION_DENIED)
"""What another try does not change: somebody has to change the table or its rights."""


def _audited(run: Run, status: BackupStatus, told: AuditOutcome | None, now: datetime) -> BackupStatus:
    """Condition AuditLogged: what the runner said about the run's row, and that there is still to be one if it said nothing."""
    if run.spec is None or run.spec.audit_log is not AuditLog.ENABLED:
        return status
    return with_conditions(run, status, {ConditionType.AUDIT_LOGGED: _of_row(told)}, now)


def _of_row(told: AuditOutcome | None) -> Finding:
    if told is None:
        return Finding(False, Reason.AUDIT_PENDING, "The row in backup_logs is still to be written")
    is_final = told.logged or told.reason in UNRECORDABLE
    return Finding(told.logged, told.reason if is_final else Reason.AUDIT_PENDING, told.message)


def recorded(run: Run, finding: Finding, now: datetime) -> BackupStatus:
    """What became of the row of a finished run. Nothing else about it changes."""
    return with_conditions(run, run.status, {ConditionType.AUDIT_LOGGED: finding}, now)


def pruned(run: Run, by: str, now: datetime) -> BackupStatus:
    """The bundle is not on the volume any more; the record of the run stays."""
    message = f"The bundle is no longer on the volume, as run {by} found: retention removed it, or somebody did"
    finding = Finding(False, Reason.PRUNED, message)
    return with_conditions(run, run.status, {ConditionType.LOCAL_BUNDLE_PRESENT: finding}, now)


def removing(run: Run, message: str, now: datetime) -> BackupStatus:
    """The resource is being deleted, and its bundle with it."""
    finding = Finding(run.status.holds(ConditionType.LOCAL_BUNDLE_PRESENT), Reason.REMOVING_BUNDLE, message)
    return with_conditions(run, run.status, {ConditionType.LOCAL_BUNDLE_PRESENT: finding}, now)


def stopping(run: Run, message: str, now: datetime) -> BackupStatus:
    """The application is being stopped: from here on the deadline counts."""
    status = run.status.model_copy(update={"start_time": run.status.start_time or now})
    return summarized(run, status, {ConditionType.PROGRESSING: True}, Reason.STOPPING_APPLICATION, message, now)


def stopped(run: Run, application: Stopped) -> BackupStatus:
    """What is about to be stopped is known."""
    known = StoppedApplication(workloads=list(application.workloads), user_id=application.user)
    return run.status.model_copy(update={"stopped": known})


def serving(run: Run) -> BackupStatus:
    """All that was stopped has been started again."""
    return run.status.model_copy(update={"stopped": None})


def stored_by(run: Run, uid: str) -> BackupStatus:
    """Which UID the bundle was stored with, if not with that of the resource."""
    return run.status.model_copy(update={"original_uid": uid}) if uid != run.uid else run.status


def _with_last_ended(run: Run, ended: Ended, now: datetime) -> list[Attempt]:
    end = {
        "completion_time": now,
        "reason": ended.reason,
        "message": shortened(ended.message, MESSAGE_LIMIT),
        "exit_code": ended.exit_code,
    }
    *earlier, last = run.status.attempts
    return [*earlier, last.model_copy(update=end)]


def _destination(run: Run, bundle: StoredBundle) -> Destination:
    claim = run.spec.storage.local.claim_name if run.spec else ""
    return Destination(type="Local", claim_name=claim, path=bundle.path, user_id=bundle.user_id)


def components(bundle: StoredBundle) -> Components:
    def component(stored: StoredComponent) -> Component:
        return Component(size_bytes=stored.size_bytes, checksum=stored.sha256)

    return Components(database=component(bundle.database), files=component(bundle.files) if bundle.files else None)


def summarized(
    run: Run, status: BackupStatus, changes: Changes, reason: str, message: str, now: datetime
) -> BackupStatus:
    """The status with these conditions, and with reason, message and phase to match."""
    message = shortened(message, MESSAGE_LIMIT)
    found = {kind: Finding(holds, reason, message) for kind, holds in changes.items()}
    status = with_conditions(run, status, found, now)
    return status.model_copy(
        update={
            "phase": Phase(phase({c.type: c.status == "True" for c in status.conditions})),
            "reason": reason,
            "message": message,
            "initiated_by": status.initiated_by or run.initiated_by,
            "observed_generation": run.generation,
        }
    )
