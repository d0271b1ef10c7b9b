"""The status of a run whose resource was created again without its status, after it or its namespace was deleted. Pure.

The annotation that such a run still has says how it ended. A failure is believed at once. A completion is believed only
when the bundle has been found; until then the run is `Recreated`, which counts as finished too: it never runs again.
"""

from datetime import datetime

from quotenode_backup.api.backup_status import BackupStatus, Destination
from quotenode_backup.api.conditions import ConditionType, Phase
from quotenode_backup.api.finished_mark import FinishedMark, MarkedBundle
from quotenode_backup.cluster.objects import Backup
from quotenode_backup.contract.results import StoredBundle
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.text import readable_size
from quotenode_backup.reconcile.backup.status import components
from quotenode_backup.reconcile.reporting.conditions import Finding, summarized, with_conditions

INSTEAD = "For a new backup use another name, or metadata.generateName with kubectl create"


def recreated(run: Backup, mark: FinishedMark, now: datetime) -> BackupStatus:
    """The first status of a recreated run."""
    known = {"start_time": mark.start_time, "completion_time": mark.completion_time, "original_uid": mark.uid}
    status = run.status.model_copy(update=known)
    message = sentence_about(mark)
    changes = {ConditionType.PROGRESSING: False, ConditionType.RECREATED: True}
    if mark.phase is Phase.FAILED:
        return summarized(run, status, changes | {ConditionType.FAILED: True}, mark.reason, message, now)
    status = summarized(run, status, changes, Reason.RECREATED, message, now)
    if mark.bundle is None:
        return missing(run, status, "its annotation does not say where it was", now)
    place = f"{mark.bundle.path} in claim {mark.bundle.claim_name} is still to be looked for"
    sought = Finding(None, Reason.SEARCHING_BUNDLE, place)
    return with_conditions(run, status, {ConditionType.LOCAL_BUNDLE_PRESENT: sought}, now)


def sentence_about(mark: FinishedMark) -> str:
    ended = f"had {mark.phase.lower()}" if mark.phase is Phase.COMPLETED else f"had failed ({mark.reason})"
    when = f"{mark.completion_time:%Y-%m-%d %H:%M:%SZ}"
    return f"This run {ended} at {when}, before its resource was re-created, and does not run a second time. {INSTEAD}"


def searching(run: Backup, message: str, now: datetime) -> BackupStatus:
    """The search goes on, and `message` says what is in its way."""
    changes = {ConditionType.LOCAL_BUNDLE_PRESENT: None}
    return summarized(run, run.status, changes, Reason.SEARCHING_BUNDLE, message, now)


def missing(run: Backup, status: BackupStatus, why: str, now: datetime) -> BackupStatus:
    changes = {ConditionType.LOCAL_BUNDLE_PRESENT: False}
    return summarized(run, status, changes, Reason.BUNDLE_MISSING, f"The bundle was not found: {why}", now)


def found(run: Backup, claim: str, bundle: StoredBundle, message: str, now: datetime) -> BackupStatus:
    """The status of a completed run, rebuilt from the annotation and the commit record."""
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
