"""The next status of a run. Each function is pure: it takes a run and returns the status after one thing happened."""

from datetime import datetime

from quotenode_backup.api.backup import AuditLog
from quotenode_backup.api.backup_status import BackupStatus, Component, Components, Destination, Removal
from quotenode_backup.api.conditions import MESSAGE_LIMIT, ConditionType
from quotenode_backup.api.run_status import StoppedApplication
from quotenode_backup.cluster.objects import Backup, BackupRun, Stopped
from quotenode_backup.contract.results import AuditOutcome, BackupResult, StoredBundle, StoredComponent
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.text import readable_size, shortened
from quotenode_backup.reconcile.jobs import attempt_status
from quotenode_backup.reconcile.jobs.attempt_status import with_last_ended
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.reporting.conditions import Finding, observed, summarized, with_conditions


def accepted(run: Backup, policy: str, now: datetime) -> BackupStatus:
    """`policy`: UID of the admission policy that checked the run; empty when the release has none."""
    changes = {ConditionType.ACCEPTED: True, ConditionType.PROGRESSING: False}
    status = run.status.model_copy(update={"admission_policy": policy or None})
    return summarized(run, status, changes, Reason.ACCEPTED, "The spec is valid and the pod can be placed", now)


def attempt_ended(run: Backup, ended: Ended[BackupResult], now: datetime) -> BackupStatus:
    """As for any attempt; and unless the lock was busy, what became of the run's row in backup_logs."""
    status = run.status
    if ended.reason is not Reason.LOCK_BUSY:
        status = _audited(run, status, ended.result.audit if ended.result else None, now)
    return attempt_status.attempt_ended(run, status, ended, now)


def completed(run: BackupRun, bundle: StoredBundle, ended: Ended[BackupResult], now: datetime) -> BackupStatus:
    status = with_last_ended(run.status, ended, now).model_copy(
        update={
            # The time of the backup, even if the operator sees it later: the age of the newest backup depends on it.
            "completion_time": min(now, bundle.completed),
            "size_bytes": bundle.size_bytes,
            "size": readable_size(bundle.size_bytes),
            "checksum": bundle.sha256,
            "destinations": [_destination(run, bundle)],
            "components": components(bundle),
            "notes": ended.result.notes if ended.result else 0,
        }
    )
    status = _audited(run, status, ended.result.audit if ended.result else None, now)
    changes = {
        ConditionType.PROGRESSING: False,
        ConditionType.COMPLETE: True,
        ConditionType.VERIFIED: True,
        ConditionType.LOCAL_BUNDLE_PRESENT: True,
    }
    return summarized(run, status, changes, Reason.COMPLETED, ended.message, now)


def failed(run: Backup, reason: Reason, message: str, now: datetime) -> BackupStatus:
    status = run.status.model_copy(update={"completion_time": now})
    is_of_attempt = bool(status.attempts) and status.attempts[-1].reason == reason
    is_audited = is_of_attempt and status.condition(ConditionType.AUDIT_LOGGED) is not None
    # A row would be written to a host, with a Secret, that the author may have no right to.
    if reason is not Reason.OLDER_THAN_POLICY and not is_audited:
        status = _audited(run, status, None, now)
    changes = {ConditionType.PROGRESSING: False, ConditionType.FAILED: True}
    if not status.holds(ConditionType.ACCEPTED):
        changes |= {ConditionType.ACCEPTED: False}
    return summarized(run, status, changes, reason, message, now)


UNRECORDABLE = (Reason.AUDIT_TABLE_UNFIT, Reason.PERMISSION_DENIED)
"""Reasons why a row can't be written that no retry cures: somebody has to change the table or grant rights to it."""


def _audited(run: Backup, status: BackupStatus, row: AuditOutcome | None, now: datetime) -> BackupStatus:
    """Condition AuditLogged: what the runner reported about the run's row, or Unknown if it reported nothing."""
    if not isinstance(run, BackupRun) or run.spec.audit_log is not AuditLog.ENABLED:
        return status
    return with_conditions(run, status, {ConditionType.AUDIT_LOGGED: _of_row(row)}, now)


def _of_row(row: AuditOutcome | None) -> Finding:
    if row is None:
        return Finding(None, Reason.AUDIT_PENDING, "The row in backup_logs is still to be written")
    if row.logged or row.reason in UNRECORDABLE:
        return Finding(row.logged, row.reason, row.message)
    return Finding(None, Reason.AUDIT_PENDING, row.message)


def recorded(run: Backup, finding: Finding, now: datetime) -> BackupStatus:
    """Condition AuditLogged of a finished run. Nothing else in its status changes."""
    return with_conditions(run, run.status, {ConditionType.AUDIT_LOGGED: finding}, now)


def pruned(run: Backup, by: str, now: datetime) -> BackupStatus:
    """The run's bundle is no longer on the volume. `by`: the run that found out."""
    message = f"The bundle is no longer on the volume, as run {by} found: retention or somebody removed it"
    finding = Finding(False, Reason.PRUNED, message)
    return with_conditions(run, run.status, {ConditionType.LOCAL_BUNDLE_PRESENT: finding}, now)


def removing(run: Backup, message: str, now: datetime, obstacle: str = "") -> BackupStatus:
    """The resource is being deleted, and its bundle with it. `obstacle`: what keeps the Job's pod from running."""
    finding = Finding(run.status.holds(ConditionType.LOCAL_BUNDLE_PRESENT), Reason.REMOVING_BUNDLE, message)
    known = Removal(obstacle=shortened(obstacle, MESSAGE_LIMIT)) if obstacle else None
    status = run.status.model_copy(update={"removal": known})
    return with_conditions(run, status, {ConditionType.LOCAL_BUNDLE_PRESENT: finding}, now)


def stopping(run: Backup, message: str, now: datetime) -> BackupStatus:
    """The application is being stopped. The deadline counts from here."""
    status = run.status.model_copy(update={"start_time": run.status.start_time or now})
    return observed(run, status, Reason.STOPPING_APPLICATION, message, now)


def stopped(run: Backup, application: Stopped) -> BackupStatus:
    """What is about to be stopped is recorded."""
    known = StoppedApplication(workloads=list(application.workloads), user_id=application.user)
    return run.status.model_copy(update={"stopped": known})


def serving(run: Backup) -> BackupStatus:
    """Everything that was stopped has been started again."""
    return run.status.model_copy(update={"stopped": None})


def stored_by(run: Backup, uid: str) -> BackupStatus:
    """The UID that the bundle was stored with is recorded, if it is not the resource's own."""
    return run.status.model_copy(update={"original_uid": uid}) if uid != run.uid else run.status


def _destination(run: BackupRun, bundle: StoredBundle) -> Destination:
    claim = run.spec.storage.local.claim_name
    return Destination(type="Local", claim_name=claim, path=bundle.path, user_id=bundle.user_id)


def components(bundle: StoredBundle) -> Components:
    def component(stored: StoredComponent) -> Component:
        return Component(size_bytes=stored.size_bytes, checksum=stored.sha256)

    return Components(database=component(bundle.database), files=component(bundle.files) if bundle.files else None)
