"""Folders below one that is trusted, opened step by step, so that no link is ever followed."""

import os
import resource
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class OpenFolders:
    """Keeps the folder that was entered last open, and all above it: the entries of an archive stand folder by folder.

    `create`: makes a folder that is missing, and is told its path.
    """

    def __init__(
        self, roots: Mapping[str, int], create: Callable[[str, tuple[bytes, ...]], None] | None = None
    ) -> None:
        self._roots, self._create = roots, create
        self._root = ""
        self._parts: tuple[bytes, ...] = ()
        self._descriptors: list[int] = []
        allow_deep_trees()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._leave_to(0)

    def enter(self, root: str, parts: tuple[bytes, ...]) -> int:
        """A descriptor that stays open until another folder is entered."""
        if root != self._root:
            self._leave_to(0)
            self._root = root
        if parts != self._parts:
            self._leave_to(_shared(parts, self._parts))
            for part in parts[len(self._parts) :]:
                self._go_down(part)
        return self._top

    @property
    def _top(self) -> int:
        return self._descriptors[-1] if self._descriptors else self._roots[self._root]

    def _go_down(self, part: bytes) -> None:
        try:
            below = os.open(part, FOLDER, dir_fd=self._top)
        except FileNotFoundError:
            if not self._create:
                raise
            os.mkdir(part, 0o700, dir_fd=self._top)
            self._create(self._root, (*self._parts, part))
            below = os.open(part, FOLDER, dir_fd=self._top)
        self._descriptors.append(below)
        self._parts = (*self._parts, part)

    def _leave_to(self, depth: int) -> None:
        while len(self._descriptors) > depth:
            os.close(self._descriptors.pop())
        self._parts = self._parts[:depth]


def _shared(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> int:
    """How many folders both have in common from the top. Mostly one of the two is above the other, and a tree may be thousands of folders deep."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(depth for depth in range(shorter) if one[depth] != other[depth])


def names_in(folder: int) -> list[str]:
    return os.listdir(folder)


def allow_deep_trees() -> None:
    """One folder is open for each level of a tree."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
