"""The next status of a restore. Each function is pure: it takes a restore and returns the status after one thing happened."""

from datetime import datetime, timedelta

from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.api.restore_status import (
    NOTES_KEPT,
    Compared,
    Replaced,
    RestorePlan,
    RestoreStatus,
    Stage,
)
from quotenode_backup.api.run_status import ATTEMPTS_KEPT, Attempt, StoppedApplication
from quotenode_backup.cluster.objects import Stopped
from quotenode_backup.cluster.restore_objects import Restore, RestoreRun
from quotenode_backup.contract.restore_results import LoadResult, SwapResult, VerifyResult
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.naming import job_name
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.restore_jobs import SWAP, VERIFY
from quotenode_backup.reconcile.jobs.attempt_status import with_last_ended
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.reporting.conditions import Finding, observed, summarized, with_conditions
from quotenode_backup.reconcile.restore.source import Resolved
from quotenode_backup.reconcile.restore.stages import STAGES


def accepted(run: Restore, found: Resolved, policy: str, now: datetime) -> RestoreStatus:
    update = {"admission_policy": policy or None, "source": found.source, "kind": found.kind, "target": found.target}
    status = run.status.model_copy(update=update)
    changes = {ConditionType.ACCEPTED: True, ConditionType.PROGRESSING: False}
    message = f"To be restored: {found.source.summary}"
    return summarized(run, status, changes, Reason.ACCEPTED, message, now)


def attempt_begun(run: RestoreRun, step: str, number: int, user: int | None, now: datetime) -> RestoreStatus:
    """Time counts from the first attempt that needs the lock."""
    status, name = run.status, job_name(step, run.uid, number)
    attempt = Attempt(number=number, job_name=name, user_id=user, start_time=now)
    update: dict[str, object] = {
        "start_time": status.start_time or (None if step == VERIFY else now),
        "job_name": name,
        "stage": STAGES[step],
        "attempts": [*status.attempts, attempt][-ATTEMPTS_KEPT:],
    }
    if step == SWAP and status.stage is Stage.STOPPING and status.stop_time:
        update["stop_seconds"] = (now - status.stop_time).total_seconds()
    return observed(run, status.model_copy(update=update), Reason.JOB_CREATED, f"Attempt {number}: Job {name}", now)


def attempt_dropped(run: RestoreRun, reason: Reason, message: str, now: datetime) -> RestoreStatus:
    """The newest attempt has never had a Job. Its number is used again."""
    status = run.status.model_copy(update={"attempts": run.status.attempts[:-1], "job_name": None})
    return observed(run, status, reason, message, now)


def attempt_ended(run: RestoreRun, ended: Ended[Result], now: datetime) -> RestoreStatus:
    """The newest attempt has failed. One that was not decided is no failure, as it is not known whether it is one."""
    is_counted = ended.reason not in (Reason.LOCK_BUSY, Reason.SWAP_UNDECIDED)
    update: dict[str, object] = {"failures": run.status.failures + is_counted}
    if ended.reason is Reason.NOT_LOADED:
        update["load_seconds"] = None
    status = with_last_ended(run.status, ended, now).model_copy(update=update)
    return summarized(run, status, {ConditionType.PROGRESSING: True}, ended.reason, ended.message, now)


def verified(run: RestoreRun, found: Resolved, ended: Ended[VerifyResult], now: datetime) -> RestoreStatus:
    result = ended.result
    assert result, "a success has a result"
    assert result.facts, "a success names a bundle"
    facts, source = result.facts, found.source
    plan = RestorePlan(
        tables=facts.tables,
        entries=facts.entries,
        files_bytes=facts.files_bytes,
        backup_server_version=facts.backup_server_version,
        live_server_version=facts.live_server_version,
        overwritten=_overwritten(found),
        stopped=[f"{one.kind} {one.name}" for one in found.workloads],
        started=[f"{one.kind} {one.name}" for one in found.workloads],
        notes=list(result.notes[:NOTES_KEPT]),
    )
    pinned = source.model_copy(update={"sha256": facts.sha256, "backup_time": source.backup_time or facts.backup_time})
    status = with_last_ended(run.status, ended, now).model_copy(update={"plan": plan, "source": pinned, "failures": 0})
    return summarized(run, status, {ConditionType.VERIFIED: True}, Reason.VERIFIED, ended.message, now)


def _overwritten(found: Resolved) -> list[str]:
    database = [f"database {found.database.name}"] if found.restores_database else []
    return [*database, *(f"claim {one.claim_name} {one.sub_path}".strip() for one in found.files)]


def loaded(run: RestoreRun, ended: Ended[LoadResult], now: datetime) -> RestoreStatus:
    result = ended.result
    assert result, "a success has a result"
    database, files = result.database, result.files
    update: dict[str, object] = {"load_seconds": result.seconds}
    if database and database.is_compared:
        update["rows"] = Compared(backup=database.rows, restored=database.rows)
    if files:
        update["entries"] = Compared(backup=files.entries, restored=files.entries)
    status = with_last_ended(run.status, ended, now).model_copy(update=update)
    return observed(run, status, Reason.LOADED, ended.message, now)


def stopping(run: RestoreRun, message: str, now: datetime) -> RestoreStatus:
    update = {"start_time": run.status.start_time or now, "stop_time": now, "stage": Stage.STOPPING}
    return observed(run, run.status.model_copy(update=update), Reason.STOPPING_APPLICATION, message, now)


def stopped(run: Restore, application: Stopped) -> RestoreStatus:
    """What is about to be stopped is recorded."""
    known = StoppedApplication(workloads=list(application.workloads), user_id=application.user)
    return run.status.model_copy(update={"stopped": known})


def serving(run: Restore) -> RestoreStatus:
    """Everything that was stopped has been started again. Should it be stopped again, that begins anew."""
    update: dict[str, object] = {"stopped": None}
    if run.status.stage in (Stage.STOPPING, Stage.SWAPPING) and not run.status.point_of_no_return:
        update["stage"] = Stage.LOADING
    return run.status.model_copy(update=update)


def swapped(run: RestoreRun, ended: Ended[SwapResult], now: datetime) -> RestoreStatus:
    result = ended.result
    assert result, "a success has a result"
    until = now + timedelta(seconds=run.spec.keep_replaced_seconds)
    update = {
        "point_of_no_return": now,
        "swap_seconds": result.seconds,
        "stage": Stage.STARTING,
        "replaced": Replaced(database=result.kept_database, until=until),
        "failures": 0,
    }
    status = with_last_ended(run.status, ended, now).model_copy(update=update)
    kept = Finding(True, Reason.REPLACED_DATA_KEPT, f"What was replaced is kept until {until:%Y-%m-%d %H:%M:%SZ}")
    status = with_conditions(run, status, {ConditionType.REPLACED_DATA_KEPT: kept}, now)
    return summarized(run, status, {ConditionType.RESTORED: True}, Reason.RESTORED, ended.message, now)


def healthy(run: RestoreRun, ended: Ended[Result], now: datetime) -> RestoreStatus:
    assert run.status.point_of_no_return, "only what was restored is asked"
    seconds = (now - run.status.point_of_no_return).total_seconds()
    status = with_last_ended(run.status, ended, now).model_copy(update={"start_seconds": seconds})
    return summarized(run, status, {ConditionType.HEALTHY: True}, Reason.HEALTHY, ended.message, now)


def completed(run: RestoreRun, now: datetime) -> RestoreStatus:
    status = run.status.model_copy(update={"completion_time": now})
    is_plan = run.spec.dry_run
    reason = Reason.PLAN_ONLY if is_plan else Reason.COMPLETED
    message = _plan_only(run) if is_plan else _restored(run)
    changes = {ConditionType.PROGRESSING: False, ConditionType.COMPLETE: True}
    if is_plan:
        changes |= {ConditionType.RESTORED: False}
    return summarized(run, status, changes, reason, message, now)


def _plan_only(run: RestoreRun) -> str:
    if run.spec.source.undo_of:
        return f"What {run.spec.source.undo_of} has replaced is kept, and nothing was changed"
    return "Everything was checked, and nothing was changed"


def _restored(run: RestoreRun) -> str:
    undone = run.spec.source.undo_of
    return f"What {undone} had replaced is back" if undone else "The backup is restored"


def may_have_left(run: Restore) -> bool:
    """Whether something of the restore may lie beside the live data, or a pin beside the bundle."""
    if not isinstance(run, RestoreRun) or run.spec.dry_run or not run.status.attempts:
        return False
    known = run.status.condition(ConditionType.REPLACED_DATA_KEPT)
    return known is None or known.status != "False"


def failed(run: Restore, reason: Reason, message: str, now: datetime) -> RestoreStatus:
    """What an attempt may have left beside the live data is still to be removed."""
    status = run.status.model_copy(update={"completion_time": now})
    changes = {ConditionType.PROGRESSING: False, ConditionType.FAILED: True}
    if not status.holds(ConditionType.ACCEPTED):
        changes |= {ConditionType.ACCEPTED: False}
    if reason is Reason.HEALTH_CHECK_FAILED:
        changes |= {ConditionType.HEALTHY: False}
    if not status.point_of_no_return:
        changes |= {ConditionType.RESTORED: False}
        if may_have_left(run):
            left = Finding(None, Reason.CLEANING_UP, "What the restore has left beside the live data is to be removed")
            status = with_conditions(run, status, {ConditionType.REPLACED_DATA_KEPT: left}, now)
    return summarized(run, status, changes, reason, message, now)


def removing(run: Restore, message: str, now: datetime) -> RestoreStatus:
    """What is left is being removed, or cannot be at the moment."""
    found = Finding(None, Reason.CLEANING_UP, message)
    return with_conditions(run, run.status, {ConditionType.REPLACED_DATA_KEPT: found}, now)


def removed(run: Restore, message: str, now: datetime) -> RestoreStatus:
    status = run.status.model_copy(update={"replaced": None})
    found = Finding(False, Reason.REPLACED_DATA_REMOVED, message)
    return with_conditions(run, status, {ConditionType.REPLACED_DATA_KEPT: found}, now)


def kept_until(run: Restore, until: datetime) -> RestoreStatus:
    """`keepReplacedSeconds` may have been changed."""
    replaced = run.status.replaced
    known = replaced.model_copy(update={"until": until}) if replaced else None
    return run.status.model_copy(update={"replaced": known})


def recreated(run: Restore, now: datetime) -> RestoreStatus:
    """The resource was created again after the restore had ended. A restore is never made a second time by itself."""
    message = "This restore had ended before its resource was created again, and is not made again: for a new one use another name"
    changes = {ConditionType.PROGRESSING: False, ConditionType.RECREATED: True}
    status = run.status.model_copy(update={"original_uid": run.original_uid})
    return summarized(run, status, changes, Reason.RECREATED, message, now)
