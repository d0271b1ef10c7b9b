"""The folder of a restore, inside the live folder of a claim that it restores.

It is ours alone (0700), so that nobody else reads what is staged or kept in it, and on the file system of the live folder, so that everything moves
between the two by a rename.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_files import REPLACED, STAGED, folder_name
from quotenode_backup.runner.files import journal
from quotenode_backup.runner.files.failures import cannot_write, not_replaceable
from quotenode_backup.runner.files.folders import NOT_A_FOLDER
from quotenode_backup.runner.files.journal import Phase, State
from quotenode_backup.runner.files.kernel import sync_filesystem
from quotenode_backup.runner.files.open_folders import FOLDER, names_in
from quotenode_backup.runner.files.tree_removal import remove_tree

_PROBE = "probe"
_SPECIAL = 0o7000


@dataclass(frozen=True, slots=True)
class RestoreFolder:
    restore_uid: str
    live: int
    descriptor: int

    @property
    def name(self) -> str:
        return folder_name(self.restore_uid)

    @contextmanager
    def subfolder(self, name: str) -> Iterator[int]:
        """Is made if it is missing."""
        descriptor = _made(self.descriptor, name)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def staging(self, attempt: int, expires: datetime, bundle_sha256: str) -> Iterator[int]:
        """A descriptor of `new`, which is empty: what an earlier attempt has left there is removed first. All that was put into it is on the disk
        before the journal says that it is staged."""
        self._require_settled()
        state = State(restore_uid=self.restore_uid, attempt=attempt, expires=expires, bundle_sha256=bundle_sha256)
        journal.write(self.descriptor, state)
        remove_tree(self.descriptor, STAGED)
        with self.subfolder(STAGED) as new:
            yield new
            sync_filesystem(new)
        journal.write(self.descriptor, state.model_copy(update={"phase": Phase.STAGED}))

    def _require_settled(self) -> None:
        """What is in `old` may be the only copy of it."""
        state = journal.read(self.descriptor)
        if holds(self.descriptor, REPLACED) or (state and state.phase not in (Phase.STAGING, Phase.STAGED)):
            raise RunFailed(
                Reason.SWAP_UNFINISHED,
                f"An earlier swap of this restore is not settled: {self.name} holds entries of the live folder. Nothing was changed.",
            )


@contextmanager
def opened(live: int, restore_uid: str) -> Iterator[RestoreFolder]:
    """Makes the folder if it is missing. Fails unless it is ours."""
    name = folder_name(restore_uid)
    try:
        descriptor = _made(live, name)
    except OSError as error:
        raise _not_ours(name, error) from error
    try:
        _require_ours(descriptor, name)
        yield RestoreFolder(restore_uid, live, descriptor)
    finally:
        os.close(descriptor)


def holds(folder: int, name: str) -> bool:
    """Whether there is anything in a subfolder of a restore's folder. Changes nothing."""
    try:
        descriptor = os.open(name, FOLDER, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        return bool(names_in(descriptor))
    finally:
        os.close(descriptor)


@contextmanager
def existing(live: int, restore_uid: str) -> Iterator[RestoreFolder | None]:
    """None if there is no such folder."""
    try:
        os.stat(folder_name(restore_uid), dir_fd=live, follow_symlinks=False)
    except FileNotFoundError:
        yield None
        return
    with opened(live, restore_uid) as folder:
        yield folder


def _made(above: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=above)
        os.fsync(above)
    return os.open(name, FOLDER, dir_fd=above)


def _require_ours(descriptor: int, name: str) -> None:
    """The owner is compared with that of a new file, since a server of NFS may give all files to another user than ours."""
    with suppress(FileNotFoundError):
        os.unlink(_PROBE, dir_fd=descriptor)
    try:
        probe = os.open(_PROBE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=descriptor)
    except OSError as error:
        raise _not_ours(name, error) from error
    owner = os.fstat(probe).st_uid
    os.close(probe)
    os.unlink(_PROBE, dir_fd=descriptor)
    status = os.fstat(descriptor)
    if status.st_uid != owner:
        raise _not_ours(name, PermissionError(errno.EPERM, "it belongs to somebody else"))
    if status.st_mode & 0o077:
        os.fchmod(descriptor, status.st_mode & _SPECIAL | stat.S_IRWXU)


def _not_ours(name: str, error: OSError) -> RunFailed:
    if error.errno in NOT_A_FOLDER:
        return not_replaceable(f"something that is not a folder stands in the place of {name}: remove it")
    return cannot_write(name, error)
