"""`python -m quotenode_backup expire` removes what a restore has left: the copy, the data that it replaced, and its pin.

Only what says of itself that it is of this restore is removed, and nothing whose swap is not settled.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from quotenode_backup.contract.restore_plans import ExpiryPlan, PlannedBundle
from quotenode_backup.contract.restore_results import ExpiryResult
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.commands.restore_target import identities_of, live_folders
from quotenode_backup.runner.files import expiry
from quotenode_backup.runner.files.folders import steps_of
from quotenode_backup.runner.postgres.restore import databases, leftovers
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.restore.statements import StatementSession
from quotenode_backup.runner.postgres.sessions import MAINTENANCE, DatabaseLock
from quotenode_backup.runner.process import plan_io, program
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context
from quotenode_backup.runner.process.signals import Unfinished
from quotenode_backup.runner.store import pins
from quotenode_backup.runner.store.folder import reached

log = logging.getLogger(__name__)

AN_EXPIRY = Unfinished("all that the restore has left was removed", "the removal is tried again")


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(ExpiryPlan, ExpiryResult, expire, AN_EXPIRY), arguments, mounts)


def expire(plan: ExpiryPlan, context: Context) -> ExpiryResult:
    if plan.bundle:
        _unpin(plan, plan.bundle, context.mounts)
    identities = identities_of(plan, context)
    with DatabaseLock(identities.owner) as lock:
        lock.acquire()
        removed = _folders_removed(plan, context) + _databases_removed(plan, identities)
    message = f"What the restore had left was removed ({removed} databases and folders)."
    return plan_io.succeeded(plan, message, ExpiryResult).model_copy(update={"removed": removed})


def _unpin(plan: ExpiryPlan, bundle: PlannedBundle, mounts: Mounts) -> None:
    *folders, name = steps_of(bundle.path) or [""]
    try:
        with reached(mounts.destination, folders) as folder:
            if folder and name:
                pins.unpin(folder, name, plan.run_uid)
    except OSError as error:  # it expires by itself
        log.warning("The pin of %s cannot be removed: %s", bundle.path, error.strerror)


def _folders_removed(plan: ExpiryPlan, context: Context) -> int:
    """The files first: should anything be left, the database that belongs to them is still there."""
    with live_folders(plan, context) as folders:
        there = [folder for folder in folders.values() if _has_own(folder.live, plan.run_uid)]
        for folder in there:
            if not expiry.remove(folder.live, plan.run_uid):
                raise RunFailed(
                    Reason.SWAP_UNFINISHED,
                    f"Claim {folder.claim} holds the only copy of files whose swap is not settled, so they are not removed.",
                )
            expiry.remove_expired(folder.live, datetime.now(UTC))
        return len(there)


def _has_own(live: int, restore_uid: str) -> bool:
    return any(found.restore_uid == restore_uid for found in expiry.leftovers(live))


def _databases_removed(plan: ExpiryPlan, identities: Identities) -> int:
    with StatementSession(identities.privileged, MAINTENANCE) as session:
        marked = databases.marked(session)
        own = leftovers.of_restore(marked, plan.run_uid)
        others = leftovers.expired(leftovers.of_target(marked, plan.database.name), datetime.now(UTC))
        return len(leftovers.drop_all(session, [*own, *(one for one in others if one not in own)]))
