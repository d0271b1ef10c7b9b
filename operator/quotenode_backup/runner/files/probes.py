"""What would refuse a swap is found before the application is stopped: by looking at every entry, and by one real rename in the folder of the restore."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from quotenode_backup.domain.restore_files import stays
from quotenode_backup.runner.files.failures import named, not_replaceable
from quotenode_backup.runner.files.moving import move
from quotenode_backup.runner.files.open_folders import names_in
from quotenode_backup.runner.files.restore_folder import RestoreFolder
from quotenode_backup.runner.files.tree_removal import remove_tree

_MOUNT_POINT = 4
"""The column of /proc/self/mountinfo."""


def require_replaceable(live: int) -> None:
    """Only looks, so that the claim may be mounted read-only. Whether the volume itself is read-only, `require_renames` finds out."""
    obstacle = next(obstacles(live), None)
    if obstacle:
        raise not_replaceable(obstacle)


def obstacles(live: int) -> Iterator[str]:
    """What is in the way of moving each entry of the folder aside, as parts of sentences."""
    folder = os.fstat(live)
    if not _may_write(folder):
        yield f"{_user()} may not write into the folder, which belongs to user id {folder.st_uid} and has mode {_shown_mode(folder)}"
        return
    mounts = frozenset(_mounts_below(live))
    for name in sorted(names_in(live)):
        if not stays(name):
            yield from _obstacles_of(name, os.stat(name, dir_fd=live, follow_symlinks=False), folder, mounts)


def _obstacles_of(name: str, entry: os.stat_result, folder: os.stat_result, mounts: frozenset[str]) -> Iterator[str]:
    user = os.geteuid()
    is_folder = stat.S_ISDIR(entry.st_mode)
    if entry.st_dev != folder.st_dev or name in mounts:
        yield f"{named(name)} is another volume that is mounted there, or has one mounted below it"
    elif user == 0:
        return
    elif folder.st_mode & stat.S_ISVTX and user not in (folder.st_uid, entry.st_uid):
        yield f"{named(name)} belongs to user id {entry.st_uid}, and the folder has the sticky bit, so {_user()} may not rename it"
    elif is_folder and entry.st_uid != user and not _may_write(entry):
        yield f"{named(name)} belongs to user id {entry.st_uid} and has mode {_shown_mode(entry)}, so {_user()} may not move it"


def require_renames(folder: RestoreFolder) -> None:
    """Moves a folder from the live folder's own level into ours and back, as the swap does."""
    name = f"{folder.name}.probe"
    try:
        with folder.subfolder("renamed") as inside:
            remove_tree(folder.live, name)
            remove_tree(inside, name)
            os.mkdir(name, 0o700, dir_fd=folder.live)
            move(folder.live, name, inside)
            move(inside, name, folder.live)
            os.rmdir(name, dir_fd=folder.live)
        remove_tree(folder.descriptor, "renamed")
    except OSError as error:
        raise not_replaceable(f"a folder in it cannot be renamed by {_user()} ({error.strerror})") from error


def require_bundles_elsewhere(restored: Sequence[str], bundles: Sequence[str]) -> None:
    """Both as the folders on the way from the root of one claim (`steps_inside`). The swap would move the bundles aside, and they would expire."""
    if tuple(bundles[: len(restored)]) == tuple(restored):
        raise not_replaceable(
            f"the bundles are in it ({named('/'.join(bundles) or '/')}), and would be moved aside with it. Restore to another claim, or keep bundles "
            "and files in different folders"
        )


def _may_write(status: os.stat_result) -> bool:
    """By mode alone: a mount that is read-only for this look only does not count. An ACL that gives more is not seen."""
    if os.geteuid() == 0:
        return True
    if status.st_uid == os.geteuid():
        bits = status.st_mode >> 6
    elif status.st_gid in {os.getegid(), *os.getgroups()}:
        bits = status.st_mode >> 3
    else:
        bits = status.st_mode
    return bits & 3 == 3


def _mounts_below(folder: int) -> Iterator[str]:
    """The first step towards each mount below an open folder. A mount of the same file system has no device of its own to tell it by."""
    here = os.path.join(os.fsencode(Path(f"/proc/self/fd/{folder}").readlink()), b"")  # noqa: PTH118 - bytes
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        point = _unescaped(line.split(b" ")[_MOUNT_POINT])
        if point.startswith(here) and point != here:
            yield os.fsdecode(point.removeprefix(here).split(b"/")[0])


def _unescaped(path: bytes) -> bytes:
    for code in (b" ", b"\t", b"\n", b"\\"):
        path = path.replace(b"\\%03o" % code[0], code)
    return path


def _shown_mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"


def _user() -> str:
    return f"user id {os.geteuid()}"
