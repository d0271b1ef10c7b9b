"""The folders that earlier restores have left in a live folder, and the removal of those whose time has come."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from quotenode_backup.domain.restore_files import REPLACED, STATE, restore_uid_of
from quotenode_backup.runner.files import journal
from quotenode_backup.runner.files.journal import Phase
from quotenode_backup.runner.files.open_folders import FOLDER, names_in
from quotenode_backup.runner.files.restore_folder import existing, holds
from quotenode_backup.runner.files.tree_removal import remove_tree


@dataclass(frozen=True, slots=True)
class Leftover:
    restore_uid: str
    expires: datetime | None
    """None if its journal does not say, so that only its own restore may remove it."""
    is_settled: bool
    """Whether the live folder needs nothing of it: no entry is on its way between the two."""


def leftovers(live: int) -> Iterator[Leftover]:
    """Changes nothing, so that a backup can report them too, which has the claim mounted read-only and may be another user."""
    for name in sorted(names_in(live)):
        if uid := restore_uid_of(name):
            with suppress(NotADirectoryError, FileNotFoundError):
                yield _leftover(live, name, uid)


def _leftover(live: int, name: str, uid: str) -> Leftover:
    try:
        descriptor = os.open(name, FOLDER, dir_fd=live)
    except PermissionError:
        return Leftover(uid, None, is_settled=False)
    try:
        return _described(descriptor, uid)
    finally:
        os.close(descriptor)


def _described(folder: int, uid: str) -> Leftover:
    state = journal.read(folder)
    own = state if state and state.restore_uid == uid else None
    is_settled = (own is not None and own.phase is Phase.SWAPPED) or not holds(folder, REPLACED)
    return Leftover(uid, own.expires if own else None, is_settled)


def remove_expired(live: int, now: datetime) -> tuple[list[str], list[str]]:
    """The UIDs of the restores whose folders were removed, and of those whose time has come but whose swap is not settled, which stay."""
    expired = [found for found in leftovers(live) if found.expires and found.expires <= now]
    gone = [found.restore_uid for found in expired if found.is_settled]
    for uid in gone:
        remove(live, uid)
    return gone, [found.restore_uid for found in expired if not found.is_settled]


def remove(live: int, restore_uid: str) -> bool:
    """Whether the folder of this restore is gone now. It stays while it may hold the only copy of something.

    The journal goes last, so that what a killed removal leaves still says what it is.
    """
    with existing(live, restore_uid) as folder:
        if folder is None:
            return True
        if not _described(folder.descriptor, restore_uid).is_settled:
            return False
        for name in sorted(names_in(folder.descriptor), key=lambda name: name == STATE):
            remove_tree(folder.descriptor, name)
        os.rmdir(folder.name, dir_fd=live)
    os.fsync(live)
    return True
