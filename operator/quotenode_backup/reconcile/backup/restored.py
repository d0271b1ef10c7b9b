"""The status of a run whose resource was deleted, or lost with its namespace, and made again without it. Pure.

The annotation that survives says how the run ended. That it failed is believed at once; that it completed only when its bundle has been
found: until then it is `Restored`, which is as ended as the two others, and never runs again.
"""

from datetime import datetime

from quotenode_backup.api.backup_status import BackupStatus, Destination
from quotenode_backup.api.conditions import ConditionType, Phase
from quotenode_backup.api.finished_mark import FinishedMark, MarkedBundle
from quotenode_backup.cluster.objects import Run
from quotenode_backup.contract.results import StoredBundle
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.text import readable_size
from quotenode_backup.reconcile.backup.status import components
from quotenode_backup.reconcile.reporting.conditions import Finding, summarized, with_conditions

INSTEAD = "For a new backup use another name, or metadata.generateName with kubectl create"


def restored(run: Run, mark: FinishedMark, now: datetime) -> BackupStatus:
    """The first status of a run that came back."""
    known = {"start_time": mark.start_time, "completion_time": mark.completion_time, "original_uid": mark.uid}
    status = run.status.model_copy(update=known)
    message = sentence_about(mark)
    changes = {ConditionType.PROGRESSING: False, ConditionType.RESTORED: True}
    if mark.phase is Phase.FAILED:
        return summarized(run, status, changes | {ConditionType.FAILED: True}, mark.reason, message, now)
    status = summarized(run, status, changes, Reason.RESTORED, message, now)
    if mark.bundle is None:
        return missing(run, status, "its annotation does not say where it was", now)
    place = f"{mark.bundle.path} of claim {mark.bundle.claim_name} is to be looked for"
    sought = Finding(None, Reason.SEARCHING_BUNDLE, place)
    return with_conditions(run, status, {ConditionType.LOCAL_BUNDLE_PRESENT: sought}, now)


def sentence_about(mark: FinishedMark) -> str:
    ended = f"had {mark.phase.lower()}" if mark.phase is Phase.COMPLETED else f"had failed ({mark.reason})"
    when = f"{mark.completion_time:%Y-%m-%d %H:%M:%SZ}"
    return f"This run {ended} at {when}, before its resource was made again, and does not run a second time. {INSTEAD}"


def searching(run: Run, message: str, now: datetime) -> BackupStatus:
    """What is in the way of the search."""
    changes = {ConditionType.LOCAL_BUNDLE_PRESENT: None}
    return summarized(run, run.status, changes, Reason.SEARCHING_BUNDLE, message, now)


def missing(run: Run, status: BackupStatus, why: str, now: datetime) -> BackupStatus:
    changes = {ConditionType.LOCAL_BUNDLE_PRESENT: False}
    return summarized(run, status, changes, Reason.BUNDLE_MISSING, f"The bundle was not found: {why}", now)


def found(run: Run, claim: str, bundle: StoredBundle, message: str, now: datetime) -> BackupStatus:
    """As it was when the run completed, as far as the annotation and the commit record tell."""
    place = Destination(type="Local", claim_name=claim, path=bundle.path, user_id=bundle.user_id)
    status = run.status.model_copy(
        update={
            "size_bytes": bundle.size_bytes,
            "size": readable_size(bundle.size_bytes),
            "checksum": bundle.sha256,
            "destinations": [place],
            "components": components(bundle),
        }
    )
    changes = {ConditionType.ACCEPTED: True, ConditionType.COMPLETE: True, ConditionType.LOCAL_BUNDLE_PRESENT: True}
    changes |= {ConditionType.VERIFIED: True}
    return summarized(run, status, changes, Reason.COMPLETED, message, now)


def is_the_marked(bundle: StoredBundle, marked: MarkedBundle) -> bool:
    return (bundle.sha256, bundle.size_bytes, bundle.path) == (marked.checksum, marked.size_bytes, marked.path)
