"""Writes the entries of an archive into empty folders of ours.

Every folder is entered without following links, and every file is created, never opened. Links are made when all files and folders are there, and
hard links lead only to files of the same archive. The modes of folders, which may forbid us to write into them, and their times are set at the end.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from quotenode_backup.runner.files.archive_check import Place
from quotenode_backup.runner.files.failures import cannot_write
from quotenode_backup.runner.files.open_folders import OpenFolders
from quotenode_backup.runner.files.owners import Owners
from quotenode_backup.runner.files.tar_header import Kind, NotAnArchive
from quotenode_backup.runner.files.tar_reader import Entry, shown

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_SETID = stat.S_ISUID | stat.S_ISGID
_IMPLIED_MODE = 0o755
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_COPIED = 1 << 20
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}


@dataclass(frozen=True, slots=True)
class _Later:
    """A folder's mode and time, or a link."""

    place: Place
    mode: int
    uid: int = -1
    gid: int = -1
    modified: int | None = None
    """None for a folder that the archive only implies: it keeps the time at which it was made, and belongs to us."""
    target: bytes = b""


class Extraction:
    def __init__(self, targets: Mapping[str, int], owners: Owners) -> None:
        self._targets, self._owners = targets, owners
        self._folders = OpenFolders(targets, self._imply)
        self._others = OpenFolders(targets)
        self._implied: set[Place] = set()
        self._later_folders: list[_Later] = []
        self._later_links: list[_Later] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._folders.close()
        self._others.close()

    def add(self, place: Place, entry: Entry, content: Iterable[memoryview]) -> None:
        try:
            self._add(place, entry, content)
        except OSError as error:
            raise cannot_write(entry.path, error) from error

    def finish(self) -> None:
        """Makes the links, and then sets the modes and times of the folders, those of a folder before those of the folder above it."""
        for link in self._later_links:
            self._finish(link, self._make_link)
        self._later_folders += [_Later(place, _IMPLIED_MODE) for place in self._implied]
        self._later_folders.sort(key=lambda folder: (folder.place.source, folder.place.parts), reverse=True)
        for folder in self._later_folders:
            self._finish(folder, self._set_folder)

    def _add(self, place: Place, entry: Entry, content: Iterable[memoryview]) -> None:
        if entry.kind is Kind.FILE:
            self._add_file(place, entry, content)
        elif entry.kind is Kind.FOLDER:
            self._add_folder(place, entry)
        elif entry.kind is Kind.HARD_LINK:
            self._add_hard_link(place, entry)
        else:
            self._later_links.append(_later(place, entry))

    def _add_file(self, place: Place, entry: Entry, content: Iterable[memoryview]) -> None:
        descriptor = os.open(place.parts[-1], _NEW, 0o600, dir_fd=self._above(place))
        try:
            for piece in content:
                _write(descriptor, piece)
            self._owners.give(descriptor, entry.uid, entry.gid)
            os.fchmod(descriptor, entry.mode & ~_SETID)
            os.utime(descriptor, ns=(entry.modified, entry.modified))
        finally:
            os.close(descriptor)

    def _add_folder(self, place: Place, entry: Entry) -> None:
        if place in self._implied:
            self._implied.remove(place)
        else:
            os.mkdir(place.parts[-1], 0o700, dir_fd=self._above(place))
        self._later_folders.append(_later(place, entry))

    def _add_hard_link(self, place: Place, entry: Entry) -> None:
        """Both volumes can be on one claim, whose mounts no hard link crosses, and some file systems have none: then it becomes a file of its own."""
        first = place.first
        assert first
        if first.source not in self._targets:
            raise NotAnArchive(
                f"it is another name of a file of volume {first.source}, which has to be restored with it ({entry.path})"
            )
        above = self._others.enter(first.source, first.parts[:-1])
        _require_file(first, above)
        try:
            os.link(
                first.parts[-1],
                place.parts[-1],
                src_dir_fd=above,
                dst_dir_fd=self._above(place),
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
            self._copy(os.open(first.parts[-1], _READ, dir_fd=above), place, entry)

    def _copy(self, source: int, place: Place, entry: Entry) -> None:
        with os.fdopen(source, "rb", 0) as file:
            chunks = iter(lambda: memoryview(file.read(_COPIED)), memoryview(b""))
            self._add_file(place, entry, chunks)

    def _finish(self, later: _Later, finish: Callable[[_Later], None]) -> None:
        try:
            finish(later)
        except OSError as error:
            raise cannot_write(shown(later.place.parts), error) from error

    def _make_link(self, link: _Later) -> None:
        folder, name = self._above(link.place), link.place.parts[-1]
        os.symlink(link.target, name, dir_fd=folder)
        self._owners.give_link(folder, name, link.uid, link.gid)
        if link.modified is not None:
            os.utime(name, ns=(link.modified, link.modified), dir_fd=folder, follow_symlinks=False)

    def _set_folder(self, folder: _Later) -> None:
        descriptor = self._folders.enter(folder.place.source, folder.place.parts)
        if folder.modified is not None:
            self._owners.give(descriptor, folder.uid, folder.gid)
        os.fchmod(descriptor, folder.mode)
        if folder.modified is not None:
            os.utime(descriptor, ns=(folder.modified, folder.modified))

    def _above(self, place: Place) -> int:
        return self._folders.enter(place.source, place.parts[:-1])

    def _imply(self, source: str, parts: tuple[bytes, ...]) -> None:
        self._implied.add(Place(source, parts))


def _later(place: Place, entry: Entry) -> _Later:
    return _Later(place, entry.mode, entry.uid, entry.gid, entry.modified, entry.target)


def _require_file(first: Place, folder: int) -> None:
    """The checker has seen it as a file, and only we write here."""
    if not stat.S_ISREG(os.stat(first.parts[-1], dir_fd=folder, follow_symlinks=False).st_mode):
        raise OSError(errno.EINVAL, "its first name is not a file any more")


def _write(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
