"""One entry is moved from one folder of a claim to another by a single rename, which never replaces anything."""

import errno
import os
import stat

from quotenode_backup.runner.files.kernel import rename_noreplace
from quotenode_backup.runner.files.permissions import with_writable

_FLAG_UNKNOWN = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_CANNOT_LINK = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}


def move(source: int, name: str, target: int) -> None:
    """Raises FileExistsError if there is an entry of this name in `target`, and FileNotFoundError if there is none in `source`.

    The kernel lets only those move a folder who may write into it, since its `..` changes. Its owner gives himself that right for the moment.
    """
    try:
        _rename(source, name, target)
    except PermissionError:
        if not _is_folder(source, name):
            raise
        with with_writable(source, name, afterwards=target):
            _rename(source, name, target)


def _rename(source: int, name: str, target: int) -> None:
    try:
        rename_noreplace(source, name, target, name)
    except OSError as error:
        if error.errno not in _FLAG_UNKNOWN:
            raise
        rename_without_flag(source, name, target)


def rename_without_flag(source: int, name: str, target: int) -> None:
    """Where the file system does not know the flag, as NFS.

    A file gets its second name by a hard link, which never replaces, before it loses the first: killed in between, it has both (`finish_links`). A
    folder cannot be linked. It is renamed if there is nothing of its name just before; an entry that comes in that instant is replaced only if it is
    an empty folder, since the kernel refuses all others.
    """
    if _is_folder(source, name) or not _linked(source, name, target):
        _require_free(target, name)
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        return
    os.unlink(name, dir_fd=source)


def finish_links(live: int, other: int, names: frozenset[str]) -> frozenset[str]:
    """What `rename_without_flag` left when it was killed: an entry of the live folder that has a second name in `other` is the one there, and loses
    the first. Gives the names that it lost."""
    halves = frozenset(name for name in names if _is_same(live, other, name))
    for name in halves:
        os.unlink(name, dir_fd=live)
    return halves


def _linked(source: int, name: str, target: int) -> bool:
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        return False
    return True


def _require_free(folder: int, name: str) -> None:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _is_folder(folder: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _is_same(one: int, other: int, name: str) -> bool:
    try:
        first, second = (os.stat(name, dir_fd=folder, follow_symlinks=False) for folder in (one, other))
    except FileNotFoundError:
        return False
    return os.path.samestat(first, second) and not stat.S_ISDIR(first.st_mode)
