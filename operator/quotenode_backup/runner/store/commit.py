"""How a bundle comes to be in its folder.

A bundle exists from the moment its commit record does. Before that there are only files named `.partial-…`, and whoever
holds the database's lock may clear those away. Order of a commit: bundle, checksum file, then the record, which was written under its partial name
*before*: should the attempt die in between, the next one finds the record of a bundle that is whole, and finishes the commit.

Others may write into the folder too. What cannot be removed or finished is logged and left alone, and ends nothing.
"""

import errno
import itertools
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quotenode_backup.contract.manifest import LARGEST_RECORD, CommitRecord, NewerRecord, parse_record
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.retention import REMOVED_PREFIX
from quotenode_backup.runner.process.display import shown
from quotenode_backup.runner.store.destination import Folder

log = logging.getLogger(__name__)

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
LONGEST_RUN_SECONDS = 8 * 86400
"""A day more than `activeDeadlineSeconds` can be."""


def read_record(path: Path) -> CommitRecord | NewerRecord | None:
    """A commit record, if that is what `path` is."""
    status = _file_status(path)
    return parse_record(path.read_bytes()) if status and status.st_size <= LARGEST_RECORD else None


def clear_away(folder: Folder) -> None:
    """Removes what a dead attempt left, and finishes what it had all but committed. In this order: the disk may be full.

    The lock must be held.
    """
    unfinished, spared = _looked_through(folder)
    for path in folder.path.glob(f"{shape.PARTIAL_PREFIX}*"):
        if path not in spared and (path.match(folder.partials) or _is_ancient(path)):
            with _logged(path):
                _unlink_file(path)
    for path, record in unfinished.items():
        with _logged(path):
            _finish(folder, path, record)


def _looked_through(folder: Folder) -> tuple[dict[Path, CommitRecord], set[Path]]:
    """The records of bundles that have their name already, and all files that must stay for the time being."""
    unfinished: dict[Path, CommitRecord] = {}
    spared: set[Path] = set()
    for path in folder.path.glob(f"{folder.partials}{shape.COMMIT_RECORD_SUFFIX}"):
        try:
            record = read_record(path)
        except OSError as error:
            log.warning("%s cannot be read: %s", shown(path.name), error.strerror)
            spared |= {path, _partial_of(path)} if _may_have_its_name(path) else set()
            continue
        if isinstance(record, NewerRecord):
            spared |= {path, _partial_of(path)}
        elif record and _had_its_name(folder, path, record):
            unfinished[path] = record
    return unfinished, spared | set(unfinished)


def _partial_of(partial_record: Path) -> Path:
    return partial_record.with_name(partial_record.name.removesuffix(shape.COMMIT_RECORD_SUFFIX))


def _had_its_name(folder: Folder, partial_record: Path, record: CommitRecord) -> bool:
    """Whether the dead attempt came as far as to name its bundle; another run's may be under that name."""
    bundle = _file_status(folder.path / record.bundle.name)
    partial = _file_status(_partial_of(partial_record))
    if bundle is None or bundle.st_size != record.bundle.size_bytes:
        return False
    return partial is None or os.path.samestat(partial, bundle)


def _may_have_its_name(partial_record: Path) -> bool:
    """The same, of a record that cannot be read: a bundle with a name has two, or has left its partial one."""
    partial = _file_status(_partial_of(partial_record))
    return partial is None or partial.st_nlink > 1


def _is_ancient(path: Path) -> bool:
    """Longer untouched than any run may take: whoever wrote it is dead, wherever that was."""
    status = _file_status(path)
    return status is not None and time.time() - status.st_mtime > LONGEST_RUN_SECONDS


def _finish(folder: Folder, partial_record: Path, record: CommitRecord) -> None:
    try:
        _finish_commit(folder, partial_record, record)
    except FileNotFoundError:  # the bundle's own removal was faster
        _unlink_file(folder.path / f"{record.bundle.name}{shape.CHECKSUM_SUFFIX}")
    _unlink_file(partial_record)


def _finish_commit(folder: Folder, partial_record: Path, record: CommitRecord) -> None:
    name = record.bundle.name
    final = folder.path / shape.record_name(name)
    if os.path.lexists(final):
        return
    line = shape.checksum_line(record.bundle.sha256, name)
    _write_checksum(folder.path / f"{name}{shape.CHECKSUM_SUFFIX}", line.encode())
    sync_folder(folder.path)
    partial_record.rename(final)
    sync_folder(folder.path)


def _write_checksum(path: Path, line: bytes) -> None:
    """An attempt that died here may have left a part of the line. Anything else under the name is not ours."""
    if os.path.lexists(path) and not (_file_status(path) and line.startswith(path.read_bytes()[: len(line) + 1])):
        raise FileExistsError(errno.EEXIST, "something else stands under this name", str(path))
    write_durably(path, line)


def remove_own_partials(folder: Folder) -> None:
    for path in folder.path.glob(f"{folder.partial().name}*"):
        with _logged(path):
            _unlink_file(path)


def commit(folder: Folder, record: CommitRecord) -> CommitRecord:
    """Gives the finished partial bundle the name in its record, or one with a number. Nothing that exists is ever overwritten."""
    for number in itertools.count(1):
        named = record.renamed(shape.numbered(record.bundle.name, number))
        if not _is_taken(folder, named.bundle.name) and _took_its_name(folder, named):
            break
    try:
        _finish_commit(folder, folder.partial(shape.COMMIT_RECORD_SUFFIX), named)
    except OSError:
        for suffix in (shape.COMMIT_RECORD_SUFFIX, shape.CHECKSUM_SUFFIX, ""):
            _unlink_file(folder.path / f"{named.bundle.name}{suffix}")
        raise
    return named


def _is_taken(folder: Folder, name: str) -> bool:
    """By anything at all under one of the names of a bundle, or by a removal that died and will be finished."""
    names = (
        name,
        f"{name}{shape.CHECKSUM_SUFFIX}",
        shape.record_name(name),
        f"{REMOVED_PREFIX}{shape.record_name(name)}",
    )
    return any(os.path.lexists(folder.path / one) for one in names)


def _took_its_name(folder: Folder, record: CommitRecord) -> bool:
    """False when something else took the name in the meantime."""
    final = folder.path / record.bundle.name
    write_durably(folder.partial(shape.COMMIT_RECORD_SUFFIX), record.to_json())
    try:
        os.link(folder.partial(), final)
    except FileExistsError:
        # An NFS client that gets no answer asks again, and the server refuses what it has already done.
        return _is_same_file(folder.partial(), final)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(final):
            return False
        folder.partial().rename(final)
    return True


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """One entry that cannot be looked at, removed or finished must not stop what is done about the others."""
    try:
        yield
    except OSError as error:
        log.warning("%s is left as it is: %s", shown(path.name), error.strerror)


def _file_status(path: Path) -> os.stat_result | None:
    """None when there is no regular file of this name."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        return status if stat.S_ISREG(status.st_mode) else None
    return None


def _is_same_file(one: Path, other: Path) -> bool:
    first, second = _file_status(one), _file_status(other)
    return first is not None and second is not None and os.path.samestat(first, second)


def _unlink_file(path: Path) -> None:
    """Anything but a regular file is not ours, and stays."""
    if _file_status(path):
        path.unlink(missing_ok=True)


def write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
