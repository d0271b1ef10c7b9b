"""Removes a tree of ours without following links, however deep it is and whatever its modes forbid."""

import os
import stat
from dataclasses import dataclass

from quotenode_backup.runner.files.open_folders import FOLDER, allow_deep_trees
from quotenode_backup.runner.files.permissions import set_mode


def remove_tree(folder: int, name: str) -> None:
    """The entry `name` of an open folder, if there is one, and all below it."""
    allow_deep_trees()
    try:
        if not _is_folder(folder, name):
            os.unlink(name, dir_fd=folder)
            return
    except FileNotFoundError:
        return
    _remove_folder(folder, name)


@dataclass(frozen=True, slots=True)
class _Level:
    name: str
    descriptor: int
    folders: list[str]
    """Those below it that are still to be removed."""


def _remove_folder(folder: int, name: str) -> None:
    """Uses a stack instead of recursion, since a tree may be deeper than Python's limit of recursion."""
    stack = [_entered(folder, name)]
    try:
        while stack:
            level = stack[-1]
            if level.folders:
                stack.append(_entered(level.descriptor, level.folders.pop()))
                continue
            os.close(stack.pop().descriptor)
            os.rmdir(level.name, dir_fd=stack[-1].descriptor if stack else folder)
    finally:
        for level in stack:
            os.close(level.descriptor)


def _entered(folder: int, name: str) -> _Level:
    level = _Level(name, _opened(folder, name), [])
    with os.scandir(level.descriptor) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                level.folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=level.descriptor)
    return level


def _opened(folder: int, name: str) -> int:
    try:
        descriptor = os.open(name, FOLDER, dir_fd=folder)
    except PermissionError:
        set_mode(folder, name, stat.S_IRWXU)
        descriptor = os.open(name, FOLDER, dir_fd=folder)
    if os.fstat(descriptor).st_mode & stat.S_IRWXU != stat.S_IRWXU and os.geteuid():
        os.fchmod(descriptor, stat.S_IRWXU)
    return descriptor


def _is_folder(folder: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
