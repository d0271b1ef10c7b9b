"""Folders of our own user that forbid what we have to do with them."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


def set_mode(folder: int, name: str, mode: int) -> None:
    """Of a folder, also of one that we may not open. A link is never followed: there is no `chmod` for an O_PATH descriptor but by its name in /proc."""
    descriptor = os.open(name, _PATH, dir_fd=folder)
    try:
        Path(f"/proc/self/fd/{descriptor}").chmod(mode)
    finally:
        os.close(descriptor)


def mode_of(folder: int, name: str) -> int | None:
    """None if it is not a folder."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    return stat.S_IMODE(found) if stat.S_ISDIR(found) else None


@contextmanager
def with_writable(folder: int, name: str, *, afterwards: int) -> Iterator[None]:
    """Lets us write into a folder that is ours. It gets its mode back in the folder `afterwards`, or where it was."""
    mode = mode_of(folder, name)
    if mode is None:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
    set_mode(folder, name, mode | stat.S_IRWXU)
    try:
        yield
    except OSError:
        set_mode(folder, name, mode)
        raise
    set_mode(afterwards, name, mode)
