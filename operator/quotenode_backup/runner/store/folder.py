"""The folder of one database's bundles, and how one is removed from it so that whoever dies in between leaves nothing false.

First the commit record gets another name: from then on there is no backup of that name. Then bundle and checksum file go, and last
the record under its other name, so that whoever comes next finds what is left to do, and whose bundle it was.

All in one open folder, by names without a slash: no link can lead it elsewhere. What stands under one of our names and is no regular file
is not ours, and stays.
"""

import errno
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from quotenode_backup.contract.manifest import LARGEST_RECORD, CommitRecord, NewerRecord, parse_record
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.retention import PIN_SUFFIX, REMOVED_PREFIX
from quotenode_backup.runner.files.folders import descend
from quotenode_backup.runner.process.display import shown

log = logging.getLogger(__name__)

_HIDDEN = (shape.PARTIAL_PREFIX, REMOVED_PREFIX)
"""Of records of bundles that are not there yet, or not any more."""


def tombstone_name(bundle: str) -> str:
    return f"{REMOVED_PREFIX}{bundle}{shape.COMMIT_RECORD_SUFFIX}"


@contextmanager
def opened(path: Path) -> Iterator["Shelf"]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield Shelf(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def reached(root: Path, folders: Sequence[str], *, removes_links: bool = False) -> Iterator["Shelf | None"]:
    """The folder that these names lead to, without a link on the way. None when there is no such folder."""
    try:
        descriptor = descend(root, folders)
    except FileNotFoundError:
        yield None
        return
    try:
        yield Shelf(descriptor, removes_links)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Shelf:
    """The open folder of one database's bundles. What is not there is no error, everything else is an OSError."""

    descriptor: int
    removes_links: bool = False
    """Whether a link under a bundle's own name may go with it. It is never followed."""

    def names(self) -> frozenset[str]:
        return frozenset(os.listdir(self.descriptor))  # noqa: PTH208 - of an open folder

    def has(self, name: str) -> bool:
        """Whether anything stands under the name."""
        return self._status(name) is not None

    def size(self, name: str) -> int | None:
        """None when it is not a regular file."""
        status = self._status(name)
        return status.st_size if status and stat.S_ISREG(status.st_mode) else None

    def room(self, name: str) -> int:
        """What a regular file takes on the disk: a sparse one may look larger."""
        status = self._status(name)
        return min(status.st_size, status.st_blocks * 512) if status and stat.S_ISREG(status.st_mode) else 0

    def record(self, name: str, bundle: str = "") -> CommitRecord | NewerRecord | None:
        """The commit record `name`, if it is one, and of that bundle if that matters."""
        size = self.size(name)
        if size is None or size > LARGEST_RECORD:
            return None
        try:
            with self.file(name) as file:
                record = parse_record(file.read(LARGEST_RECORD + 1))
        except FileNotFoundError:  # a backup that is on has just renamed or removed it
            return None
        is_other = isinstance(record, CommitRecord) and bundle not in ("", record.bundle.name)
        return None if is_other else record

    def committed(self) -> Iterator[CommitRecord]:
        """The records of committed bundles, whether or not these are there. A record that cannot be read is left out, and logged."""
        for name in sorted(self.names()):
            bundle = name.removesuffix(shape.COMMIT_RECORD_SUFFIX)
            if bundle == name or name.startswith(_HIDDEN):
                continue
            try:
                record = self.record(name, bundle)
            except OSError as error:
                log.warning("Commit record %s cannot be read: %s", shown(name), error.strerror)
                continue
            if isinstance(record, CommitRecord):
                yield record

    def file(self, name: str) -> FileIO:
        """A regular file, opened for reading."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        file = FileIO(os.open(name, flags, dir_fd=self.descriptor))
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise not_a_file(name)
        return file

    def is_pinned(self, bundle: str) -> bool:
        return self.has(f"{bundle}{PIN_SUFFIX}")

    def remove(self, bundle: str) -> None:
        self._require_ours(bundle)
        with suppress(FileNotFoundError):
            self._rename(shape.record_name(bundle), tombstone_name(bundle))
        self._sync()
        self.finish(bundle)

    def condemn_unfinished(self, partial_record: str, record: CommitRecord) -> None:
        """As `remove` begins, for a bundle that has its name but not yet its record. Without its name there is no bundle."""
        bundle, partial = record.bundle.name, partial_record.removesuffix(shape.COMMIT_RECORD_SUFFIX)
        if self.has(shape.record_name(bundle)) or self.size(bundle) != record.bundle.size_bytes:
            return
        if not self.has(partial) or self._are_one_file(partial, bundle):
            with suppress(FileNotFoundError):  # then the next backup was faster, and has finished the commit
                self._rename(partial_record, tombstone_name(bundle))
            self._unlink(partial)
            self._sync()

    def finish(self, bundle: str) -> None:
        """The rest of a removal, wherever the one before came to its end.

        A bundle whose removal fails, or that was pinned in the meantime, gets its record back. One of the same name with a
        record is another, and newer.
        """
        if not self.has(tombstone_name(bundle)):
            return
        if not self.has(shape.record_name(bundle)):
            if self.is_pinned(bundle) and self.size(bundle) is not None:
                self._undo(bundle)
                return
            try:
                self._require_ours(bundle)
                self._unlink(bundle)
            except OSError:
                self._undo(bundle)
                raise
            if self._is_ours(checksum := f"{bundle}{shape.CHECKSUM_SUFFIX}"):
                self._unlink(checksum)
            self._sync()
        self._unlink(tombstone_name(bundle))
        self._sync()

    def _undo(self, bundle: str) -> None:
        with suppress(FileNotFoundError):
            self._rename(tombstone_name(bundle), shape.record_name(bundle))
        self._sync()

    def _require_ours(self, bundle: str) -> None:
        if not self._is_ours(bundle):
            raise not_a_file(bundle)

    def _is_ours(self, name: str) -> bool:
        """Whether what stands under the name, if anything does, is of a kind that we put there."""
        status = self._status(name)
        is_link = status is not None and stat.S_ISLNK(status.st_mode)
        return status is None or stat.S_ISREG(status.st_mode) or (is_link and self.removes_links)

    def _are_one_file(self, one: str, other: str) -> bool:
        first, second = self._status(one), self._status(other)
        return first is not None and second is not None and os.path.samestat(first, second)

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def _sync(self) -> None:
        os.fsync(self.descriptor)


def not_a_file(name: str) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", name)
