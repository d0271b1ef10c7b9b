"""`python -m quotenode_backup remove` removes the bundle of one run, and nothing else.

Other programs may write into the claim too. So the path is followed folder by folder and without links, and a commit record must say that the bundle
is of this run.
"""

import errno
import logging
import os
from collections.abc import Sequence

from quotenode_backup.contract.manifest import CommitRecord, NewerFormat
from quotenode_backup.contract.plans import RemovalPlan
from quotenode_backup.contract.results import Result
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.retention import PIN_SUFFIX, RESTORE_PIN
from quotenode_backup.runner.files.folders import NOT_A_FOLDER, steps_of
from quotenode_backup.runner.process import plan_io, program
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context
from quotenode_backup.runner.process.signals import Unfinished
from quotenode_backup.runner.store.folder import BundleFolder, reached
from quotenode_backup.runner.store.removal import Removal

log = logging.getLogger(__name__)

A_REMOVAL = Unfinished("the bundle was removed", "the removal is tried again")
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(RemovalPlan, Result, remove, A_REMOVAL), arguments, mounts)


def remove(plan: RemovalPlan, context: Context) -> Result:
    *folders, bundle = _steps(plan)
    try:
        with reached(context.mounts.destination, folders) as folder:
            was_there = folder is not None and _all_removed(plan, folder, bundle)
    except OSError as error:
        raise _failed(plan, error) from error
    where = f"from claim {plan.local.claim_name}"
    message = f"{escape(bundle or 'The bundle')} {'was removed' if was_there else 'had gone before'} {where}."
    return plan_io.succeeded(plan, message, Result)


def _all_removed(plan: RemovalPlan, folder: BundleFolder, bundle: str) -> bool:
    """Whether there was a bundle to remove. `bundle`: its name, or empty if it must be searched for."""
    if bundle:
        return _removed(plan, folder, bundle)
    left = _mark_unfinished_for_removal(plan, folder)
    found, unreadable = _of_run(plan, folder)
    were_there = [name for name in found if _removed(plan, folder, name)]
    unknown = [*left, *unreadable]
    if unknown and not were_there:
        raise RunFailed(
            Reason.RETENTION_FAILED,
            f"No bundle of this run was found in {_bundle(plan)}, but {escape(unknown[0])} cannot be read and may be its commit "
            "record: change the file's owner or mode, or set spec.deletionPolicy to Retain.",
        )
    return bool(were_there)


def _steps(plan: RemovalPlan) -> list[str]:
    """The folders, and the name of the bundle, which is empty if it must be searched for."""
    steps = steps_of(plan.path)
    if not steps:
        raise RunFailed(Reason.PLAN_INVALID, f"{_bundle(plan)} is not a path inside the claim, so nothing was removed.")
    return steps


def _of_run(plan: RemovalPlan, folder: BundleFolder) -> tuple[list[str], list[str]]:
    """The bundles in the folder that this run has committed, also those marked for removal, and the records that cannot be read."""
    found, unreadable = [], []
    for name in sorted(folder.names()):
        bundle = shape.bundle_of(name)
        if name not in (shape.record_name(bundle), shape.tombstone_name(bundle)):
            continue
        try:
            record = folder.record(name, bundle)
        except OSError as error:
            log.warning("%s cannot be read: %s", escape(name), error.strerror)
            unreadable.append(name)
            continue
        if record and record.run_uid == _stored_by(plan):
            found.append(bundle)
    return found, unreadable


def _mark_unfinished_for_removal(plan: RemovalPlan, folder: BundleFolder) -> list[str]:
    """Marks a bundle for removal whose attempt died in the middle of its commit, since the next backup would finish that commit.

    Gives the names of the records that could not be read or renamed.
    """
    left = []
    for name in sorted(folder.names()):
        if not (name.startswith(shape.PARTIAL_PREFIX) and name.endswith(shape.COMMIT_RECORD_SUFFIX)):
            continue
        try:
            record = folder.record(name)
            if isinstance(record, CommitRecord) and _is_of(plan, record):
                Removal(folder).mark_unfinished_for_removal(name, record)
        except OSError as error:
            log.warning("%s is left as it is: %s", escape(name), error.strerror)
            left.append(name)
    return left


def _removed(plan: RemovalPlan, folder: BundleFolder, bundle: str) -> bool:
    """Whether there was a bundle to remove."""
    record = folder.record(shape.record_name(bundle), bundle)
    if _is_of(plan, record):
        _refuse_if_pinned(plan, folder, bundle)
        Removal(folder, includes_links=True).remove(bundle)
    elif _is_of(plan, folder.record(shape.tombstone_name(bundle), bundle)):
        Removal(folder, includes_links=True).finish(bundle)
    elif isinstance(record, NewerFormat):
        raise _refused(plan, f"its commit record is {record}: remove it with that release, or by hand")
    elif folder.has(bundle) or folder.has(shape.record_name(bundle)):
        raise _refused(plan, "no commit record says that it is of this run")
    else:
        return False
    _refuse_if_pinned(plan, folder, bundle)
    return True


def _is_of(plan: RemovalPlan, record: CommitRecord | NewerFormat | None) -> bool:
    return isinstance(record, CommitRecord) and record.run_uid == _stored_by(plan)


def _stored_by(plan: RemovalPlan) -> str:
    """The UID of the run that stored the bundle. After a restore of the namespace its resource has another UID."""
    return plan.original_uid or plan.run_uid


def _refused(plan: RemovalPlan, why: str) -> RunFailed:
    return RunFailed(Reason.RETENTION_FAILED, f"{_bundle(plan)} was not removed: {why}.")


def _refuse_if_pinned(plan: RemovalPlan, folder: BundleFolder, bundle: str) -> None:
    if folder.has(bundle) and folder.is_pinned(bundle):
        raise RunFailed(
            Reason.RETENTION_FAILED,
            f"{_bundle(plan)} is pinned by a file {escape(bundle)}{PIN_SUFFIX} or {escape(bundle)}{RESTORE_PIN}… of a restore, and was not "
            "removed: remove that file, or set spec.deletionPolicy to Retain.",
        )


def _failed(plan: RemovalPlan, error: OSError) -> RunFailed:
    if error.errno in NOT_A_FOLDER:
        return RunFailed(
            Reason.PLAN_INVALID,
            f"The path {_bundle(plan)} goes through a link or a file, so nothing was removed.",
        )
    if error.errno in _NOT_ALLOWED:
        return RunFailed(
            Reason.DESTINATION_NOT_WRITABLE,
            f"User id {os.geteuid()} cannot remove {_bundle(plan)} ({error.strerror}): change the owner of the folder, or remove the "
            "bundle by hand and set spec.deletionPolicy to Retain.",
        )
    return RunFailed(Reason.IO_ERROR, f"Removing {_bundle(plan)} failed: {error.strerror}.")


def _bundle(plan: RemovalPlan) -> str:
    return f"{escape(plan.path)} of claim {plan.local.claim_name}"
