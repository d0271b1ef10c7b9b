"""What it means for a restore that the file system refuses something."""

import errno
import os

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.process.display import escape

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def cannot_write(what: str, error: OSError) -> RunFailed:
    """`what`: the entry, as it is shown to people."""
    if error.errno in _FULL:
        return RunFailed(
            Reason.NO_SPACE,
            f"The volume is full, or a quota is reached, at {what}, so nothing was restored: enlarge the claim and restore again.",
        )
    if error.errno in _FORBIDDEN:
        return not_replaceable(f"{what} cannot be written by user id {os.geteuid()} ({error.strerror})")
    return RunFailed(Reason.IO_ERROR, f"Writing {what} failed: {error.strerror}.")


def not_replaceable(why: str) -> RunFailed:
    """`why`: an entry of the live folder, or the folder itself, and what is wrong with it."""
    return RunFailed(
        Reason.FILES_NOT_REPLACEABLE,
        f"The files cannot be restored in place: {why}. Nothing was changed. Set spec.pod.runAsUser to the owner of the folder and its entries, or "
        "correct what the message names.",
    )


def named(name: str) -> str:
    """An entry at the top of the live folder, as it is shown to people."""
    return escape(name)
