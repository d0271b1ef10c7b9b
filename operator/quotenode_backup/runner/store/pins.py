"""The pins of restores: files beside a bundle that keep retention and removal from removing it for some time.

Else a restore of the oldest bundle would wait for a backup that ends by removing exactly that bundle.
"""

import logging
import time
from datetime import datetime

from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.retention import RESTORE_PIN
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.store.folder import BundleFolder

log = logging.getLogger(__name__)

SETTLES_SECONDS = 5.0
"""How long a removal that had begun before it could see the pin may take to give the bundle its record back."""


def pin_name(bundle: str, restore_uid: str) -> str:
    return f"{bundle}{RESTORE_PIN}{restore_uid}"


def pin(folder: BundleFolder, bundle: str, restore_uid: str, until: datetime) -> None:
    """A later attempt only moves the end. Raises unless the bundle is there afterwards: whoever removes bundles looks for pins after the record is marked
    for removal, and we look for the record after the pin is on the disk."""
    name = pin_name(bundle, restore_uid)
    folder.write(name, f"{until.isoformat()}\n".encode("ascii"))
    folder.sync()
    end = time.monotonic() + SETTLES_SECONDS
    while not _is_there(folder, bundle):
        if time.monotonic() > end:
            unpin(folder, bundle, restore_uid)
            raise RunFailed(
                Reason.SOURCE_MISSING,
                f"Bundle {escape(bundle, 120)} is not on the claim, or is just being removed: nothing was changed. Restore another backup.",
            )
        time.sleep(0.1)
    log.info("Pinned bundle %s until %s", escape(bundle), until.isoformat())


def _is_there(folder: BundleFolder, bundle: str) -> bool:
    return folder.size(bundle) is not None and folder.has(shape.record_name(bundle))


def unpin(folder: BundleFolder, bundle: str, restore_uid: str) -> None:
    folder.unlink_file(pin_name(bundle, restore_uid))
    folder.sync()


def remove_expired(folder: BundleFolder, now: datetime) -> list[str]:
    """Pins of restores whose time is over, and that name it. A pin of a person has no such name."""
    gone = []
    for name in sorted(folder.names()):
        bundle, found, uid = name.rpartition(RESTORE_PIN)
        until = folder.pinned_until(name) if found and bundle and uid else None
        if until is not None and until <= now:
            folder.unlink_file(name)
            gone.append(name)
    return gone
