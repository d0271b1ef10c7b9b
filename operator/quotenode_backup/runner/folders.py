"""Folders of a claim, where others write too: reached step by step, so that no link leads elsewhere."""

import os
from collections.abc import Iterable
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


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
