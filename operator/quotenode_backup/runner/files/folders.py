"""Folders of a claim, where others write too: they are entered step by step, so that no link leads elsewhere."""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

NOT_A_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP})
"""The errors of a path with a link or a file in the place of a folder."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_ON_THE_WAY = os.O_PATH | os.O_DIRECTORY
"""To go through a folder takes the right to search it, and not the right to list it."""


class LeadsOutside(OSError):
    """A path that a link takes out of its claim."""


def steps_of(path: str) -> list[str]:
    """The folders and the name at the end, which is empty after a slash. Empty if `path` is not a path inside a claim."""
    steps = path.split("/")
    is_path = path and "\0" not in path and not {".", ".."} & set(steps) and all(steps[:-1])
    return steps if is_path else []


def steps_inside(root: Path, sub_path: str, *, strict: bool) -> tuple[str, ...]:
    """The folders from `root` to `sub_path`, none of which was a link when this was asked. Links that stay inside `root` are resolved.

    `strict`: raise FileNotFoundError unless all of them exist.
    """
    top = root.resolve(strict=strict)
    wanted = _resolved(top / sub_path, strict=strict)
    if not wanted.is_relative_to(top):
        raise LeadsOutside(None, "it leads out of the claim")
    return wanted.relative_to(top).parts


def _resolved(path: Path, *, strict: bool) -> Path:
    try:
        return path.resolve(strict=strict)
    except RuntimeError as error:  # how Python before 3.13 reports links that lead in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error


def descend(root: Path, names: Iterable[str], *, create: bool = False) -> int:
    """A descriptor of the folder that `names` lead to. `root` itself is ours and may be a link."""
    *way, last = tuple(names) or (".",)
    descriptor = os.open(root, _ON_THE_WAY)
    for name, flags in (*((step, _ON_THE_WAY) for step in way), (last, _FOLDER)):
        try:
            below = _entered(descriptor, name, flags | os.O_NOFOLLOW, create=create)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _entered(folder: int, name: str, flags: int, *, create: bool) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    return os.open(name, flags, dir_fd=folder)
