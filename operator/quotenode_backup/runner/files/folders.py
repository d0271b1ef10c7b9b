"""Folders of a claim, where others write too: reached step by step, so that no link leads elsewhere."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

NOT_A_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP})
"""What a link or a file on the way makes of an error."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def steps_of(path: str) -> list[str]:
    """Folders and the name at the end, which is empty after a slash. No steps at all if it is no path inside a claim."""
    steps = path.split("/")
    is_path = path and "\0" not in path and not {".", ".."} & set(steps) and all(steps[:-1])
    return steps if is_path else []


def descend(root: Path, names: Iterable[str]) -> int:
    """A descriptor of the folder that these names lead to. `root` itself is ours and may be a link."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        try:
            below = os.open(name, _FOLDER, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor
