"""The folder that holds the bundles of one database.

It is opened once and used through its descriptor, with names that have no slash: no link can lead elsewhere. Other programs may write into the
folder too, so an entry that has one of our names and is not a regular file is not ours, and stays.
"""

import errno
import logging
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from quotenode_backup.contract.manifest import LARGEST_RECORD, CommitRecord, NewerFormat, parse_record
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.retention import PIN_SUFFIX, RESTORE_PIN
from quotenode_backup.runner.files.folders import descend
from quotenode_backup.runner.process.display import escape

log = logging.getLogger(__name__)

_LARGEST_PIN = 64
LONGEST_RUN_SECONDS = 8 * 86400
"""A day more than the maximum of `activeDeadlineSeconds`."""
_HIDDEN = (shape.PARTIAL_PREFIX, shape.REMOVED_PREFIX)
"""Prefixes of records whose bundle is not there yet, or is being removed."""
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_REPLACED = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
"""O_NONBLOCK: to open a pipe must not block."""


@contextmanager
def opened(root: Path, names: Sequence[str], *, create: bool = False) -> Iterator["BundleFolder"]:
    """The folder that `names` lead to from `root`, without a link on the way. `create`: make the folders that are missing."""
    descriptor = descend(root, names, create=create)
    try:
        yield BundleFolder(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def reached(root: Path, names: Sequence[str]) -> Iterator["BundleFolder | None"]:
    """The same, or None when there is no such folder."""
    with ExitStack() as stack:
        folder = None
        with suppress(FileNotFoundError):
            folder = stack.enter_context(opened(root, names))
        yield folder


@dataclass(frozen=True, slots=True)
class BundleFolder:
    """An entry that is missing is not an error, unless it is opened or renamed. Everything else that goes wrong is an OSError."""

    descriptor: int

    @contextmanager
    def reopened(self) -> Iterator["BundleFolder"]:
        """The same folder, for a thread that may go on after this object is closed: the next file that is opened would get its descriptor."""
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.descriptor)
        try:
            yield BundleFolder(descriptor)
        finally:
            os.close(descriptor)

    def names(self) -> frozenset[str]:
        return frozenset(os.listdir(self.descriptor))  # noqa: PTH208 - of an open folder

    def names_if_listed(self) -> frozenset[str]:
        """Empty if the folder cannot be listed. A commit will show whether a bundle can be written to it."""
        try:
            return self.names()
        except OSError as error:
            log.warning("The folder of the bundles cannot be listed: %s", error.strerror)
            return frozenset()

    def status(self, name: str) -> os.stat_result | None:
        """The status of the entry itself, also if it is a link. None if there is no entry."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def has(self, name: str) -> bool:
        """Whether there is any entry of this name."""
        return self.status(name) is not None

    def file_status(self, name: str) -> os.stat_result | None:
        """None if the entry is not a regular file."""
        status = self.status(name)
        return status if status and stat.S_ISREG(status.st_mode) else None

    def size(self, name: str) -> int | None:
        """None if the entry is not a regular file."""
        status = self.file_status(name)
        return status.st_size if status else None

    def room(self, name: str) -> int:
        """The bytes that a regular file takes on the disk, which are fewer than its size if it is sparse. Else 0."""
        status = self.file_status(name)
        return min(status.st_size, status.st_blocks * 512) if status else 0

    def is_same_file(self, one: str, other: str) -> bool:
        """Whether both are names of one regular file."""
        first, second = self.file_status(one), self.file_status(other)
        return first is not None and second is not None and os.path.samestat(first, second)

    def has_final_name(self, partial: str, record: CommitRecord) -> bool:
        """Whether an attempt that died gave its partial bundle the final name. The bundle of that name may also be another run's."""
        bundle = record.bundle
        if self.size(bundle.name) != bundle.size_bytes:
            return False
        return self.file_status(partial) is None or self.is_same_file(partial, bundle.name)

    def is_ancient(self, name: str) -> bool:
        """Whether a file was last written to longer ago than a run can take. The runner that wrote it has ended then, in whichever cluster."""
        status = self.file_status(name)
        return status is not None and time.time() - status.st_mtime > LONGEST_RUN_SECONDS

    def is_pinned(self, bundle: str) -> bool:
        """By a person, or by a restore until its time is over."""
        if self.has(f"{bundle}{PIN_SUFFIX}"):
            return True
        own = [name for name in self.names() if name.startswith(f"{bundle}{RESTORE_PIN}")]
        return any(not self._is_over(name) for name in own)

    def _is_over(self, pin: str) -> bool:
        """A pin that does not say until when it holds is never over, as one that a person has made."""
        until = self.pinned_until(pin)
        return until is not None and until <= datetime.now(UTC)

    def pinned_until(self, pin: str) -> datetime | None:
        """None if the pin of a restore does not say it, or if there is no such pin."""
        try:
            with self.file(pin) as file:
                found = datetime.fromisoformat(file.read(_LARGEST_PIN).decode("ascii").strip())
                return found if found.tzinfo else None
        except (OSError, ValueError):
            return None

    def file(self, name: str) -> FileIO:
        """A regular file, opened for reading."""
        file = FileIO(os.open(name, _READ, dir_fd=self.descriptor))
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise not_a_file(name)
        return file

    def record(self, name: str, bundle: str = "") -> CommitRecord | NewerFormat | None:
        """None if the entry is not a commit record, or if `bundle` is given and the record is of another one."""
        size = self.size(name)
        if size is None or size > LARGEST_RECORD:
            return None
        try:
            with self.file(name) as file:
                record = parse_record(file.read(LARGEST_RECORD + 1))
        except FileNotFoundError:  # a backup of the same database has just renamed or removed it
            return None
        is_other = isinstance(record, CommitRecord) and bundle not in ("", record.bundle.name)
        return None if is_other else record

    def committed(self) -> Iterator[CommitRecord]:
        """The records of committed bundles that this release can read, whether or not the bundles are there."""
        return (record for _, record in self.records() if isinstance(record, CommitRecord))

    def records(self) -> Iterator[tuple[str, CommitRecord | NewerFormat]]:
        """The same of any release, with the names of the bundles. A record that cannot be read is logged and left out, and so are all records
        if the folder cannot be listed."""
        for name in sorted(self.names_if_listed()):
            bundle = name.removesuffix(shape.COMMIT_RECORD_SUFFIX)
            if bundle == name or name.startswith(_HIDDEN):
                continue
            try:
                record = self.record(name, bundle)
            except OSError as error:
                log.warning("Commit record %s cannot be read: %s", escape(name), error.strerror)
                continue
            if record:
                yield bundle, record

    def tombstones(self) -> list[str]:
        """The names of the bundles that are marked for removal."""
        names = sorted(self.names())
        return [bundle for name in names if name == shape.tombstone_name(bundle := shape.bundle_of(name))]

    def create(self, name: str) -> int:
        """A descriptor of a new file, for reading and writing."""
        return os.open(name, _NEW, 0o640, dir_fd=self.descriptor)

    def write(self, name: str, data: bytes) -> None:
        """Makes `data` the content of a file, and waits until it is on the disk."""
        with os.fdopen(os.open(name, _REPLACED, 0o640, dir_fd=self.descriptor), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def link(self, name: str, new: str) -> None:
        """Gives a file a second name. Raises FileExistsError if that is taken."""
        os.link(name, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor, follow_symlinks=False)

    def rename(self, name: str, new: str) -> None:
        os.rename(name, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def unlink_file(self, name: str) -> None:
        """An entry that is not a regular file is not ours, and stays."""
        if self.file_status(name):
            self.unlink(name)

    def sync(self) -> None:
        """Waits until all changes of names in the folder are on the disk."""
        os.fsync(self.descriptor)


def not_a_file(name: str) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", name)
