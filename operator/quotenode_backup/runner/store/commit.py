"""How a bundle gets into its folder.

A bundle exists from the moment its commit record does. Before that there are only files named `.partial-…`, and whoever holds the database's lock
may clear those away. A commit writes the record under its partial name first, then gives the bundle its name, adds the checksum file, and renames
the record. So if the attempt dies in between, the next one finds the record of a bundle that is whole, and finishes the commit.

Other programs may write into the folder too. An entry that cannot be removed or finished is logged and left alone, and everything else goes on.
"""

import errno
import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from quotenode_backup.contract.manifest import CommitRecord, NewerFormat
from quotenode_backup.domain import bundle as shape
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.store.destination import Destination
from quotenode_backup.runner.store.folder import BundleFolder

log = logging.getLogger(__name__)

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def clear_away(destination: Destination) -> None:
    """Removes what dead attempts left, and then finishes their commits. The disk may be full, so the removal comes first.

    The database's lock must be held.
    """
    folder, names = destination.folder, _partial_names(destination.folder)
    names = [name for name in names if name.startswith(destination.partial_prefix) or folder.is_ancient(name)]
    unfinished, spared = _unfinished_commits(destination, names)
    for name in names:
        if name not in spared:
            with _logged(name):
                folder.unlink_file(name)
    for name, record in unfinished.items():
        with _logged(name):
            _finish(folder, name, record)


def _partial_names(folder: BundleFolder) -> list[str]:
    return sorted(name for name in folder.names_if_listed() if name.startswith(shape.PARTIAL_PREFIX))


def _unfinished_commits(destination: Destination, names: list[str]) -> tuple[dict[str, CommitRecord], set[str]]:
    """The partial records of bundles that have their final name already, and the names of all files that must stay for now.

    Those of another server are left to that server, which finishes its commits itself.
    """
    folder = destination.folder
    unfinished: dict[str, CommitRecord] = {}
    spared: set[str] = set()
    for name in names:
        if not name.endswith(shape.COMMIT_RECORD_SUFFIX):
            continue
        try:
            record = folder.record(name)
        except OSError as error:
            log.warning("%s cannot be read: %s", escape(name), error.strerror)
            spared |= {name, _partial_of(name)} if _may_have_final_name(folder, name) else set()
            continue
        if isinstance(record, NewerFormat):
            spared |= {name, _partial_of(name)}
        elif record and folder.has_final_name(_partial_of(name), record):
            spared.add(name)
            if name.startswith(destination.partial_prefix):
                unfinished[name] = record
    return unfinished, spared


def _partial_of(partial_record: str) -> str:
    return partial_record.removesuffix(shape.COMMIT_RECORD_SUFFIX)


def _may_have_final_name(folder: BundleFolder, partial_record: str) -> bool:
    """Whether it may have done so, if its record cannot be read. A bundle with a final name has two names, or has lost its partial one."""
    partial = folder.file_status(_partial_of(partial_record))
    return partial is None or partial.st_nlink > 1


def _finish(folder: BundleFolder, partial_record: str, record: CommitRecord) -> None:
    try:
        if not folder.has(shape.record_name(record.bundle.name)):
            _finish_commit(folder, partial_record, record)
    except FileNotFoundError:  # the bundle was removed meanwhile
        folder.unlink_file(f"{record.bundle.name}{shape.CHECKSUM_SUFFIX}")
    folder.unlink_file(partial_record)


def _finish_commit(folder: BundleFolder, partial_record: str, record: CommitRecord) -> None:
    name = record.bundle.name
    _write_checksum(folder, record)
    folder.sync()
    if folder.has(shape.record_name(name)):
        raise _is_there(shape.record_name(name))
    folder.rename(partial_record, shape.record_name(name))
    folder.sync()


def _write_checksum(folder: BundleFolder, record: CommitRecord) -> None:
    name, line = _checksum(record)
    if folder.has(name) and not _is_beginning(folder, name, line):
        raise _is_there(name)
    folder.write(name, line)


def _checksum(record: CommitRecord) -> tuple[str, bytes]:
    """The name and the content of the checksum file."""
    bundle = record.bundle
    return f"{bundle.name}{shape.CHECKSUM_SUFFIX}", shape.checksum_line(bundle.sha256, bundle.name).encode()


def _is_beginning(folder: BundleFolder, name: str, line: bytes) -> bool:
    """Whether a file holds the beginning of the line, as an attempt may leave it that dies. A file with any other content is not ours."""
    if folder.file_status(name) is None:
        return False
    with folder.file(name) as file:
        return line.startswith(file.read(len(line) + 1))


def _is_there(name: str) -> OSError:
    return FileExistsError(errno.EEXIST, "there is something else of this name", name)


def remove_own_partials(destination: Destination) -> None:
    for name in destination.partials:
        with _logged(name):
            destination.folder.unlink_file(name)


def commit(destination: Destination, record: CommitRecord) -> CommitRecord:
    """Gives the partial bundle the name in its record, or that name with a number. Nothing that exists is ever overwritten."""
    folder = destination.folder
    for number in itertools.count(1):
        named = record.renamed(shape.numbered(record.bundle.name, number))
        if not _is_taken(folder, named.bundle.name) and _took_name(destination, named):
            break
    partial_record = destination.partial(shape.COMMIT_RECORD_SUFFIX)
    try:
        _finish_commit(folder, partial_record, named)
    except OSError:
        _take_back(folder, partial_record, named)
        raise
    return named


def _take_back(folder: BundleFolder, partial_record: str, record: CommitRecord) -> None:
    """Removes what there is of a commit that failed. A record is ours only if the partial one has become it."""
    name = record.bundle.name
    checksum, line = _checksum(record)
    with _logged(shape.record_name(name)):
        if not folder.has(partial_record):
            folder.unlink_file(shape.record_name(name))
    with _logged(checksum):
        if _is_beginning(folder, checksum, line):
            folder.unlink_file(checksum)
    with _logged(name):
        folder.unlink_file(name)


def _is_taken(folder: BundleFolder, name: str) -> bool:
    """Whether there is any entry with a name that the bundle would need, or a removal of a bundle of this name that is not finished."""
    names = (
        name,
        f"{name}{shape.CHECKSUM_SUFFIX}",
        shape.record_name(name),
        shape.tombstone_name(name),
    )
    return any(folder.has(one) for one in names)


def _took_name(destination: Destination, record: CommitRecord) -> bool:
    """False if something else took the name in the meantime."""
    folder, partial, final = destination.folder, destination.partial(), record.bundle.name
    folder.write(destination.partial(shape.COMMIT_RECORD_SUFFIX), record.to_json())
    try:
        folder.link(partial, final)
    except FileExistsError:
        # An NFS client that gets no answer repeats the request, and the server refuses it because the link is there already.
        return folder.is_same_file(partial, final)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            _take_back_name(folder, partial, final)
            raise
        if folder.has(final):
            return False
        folder.rename(partial, final)
    return True


def _take_back_name(folder: BundleFolder, partial: str, final: str) -> None:
    """A server may report an error and have made the link nevertheless. Without its record the bundle would take up room for ever."""
    with _logged(final):
        if folder.is_same_file(partial, final):
            folder.unlink_file(final)


@contextmanager
def _logged(name: str) -> Iterator[None]:
    """An entry that cannot be read, removed or finished must not keep the others from being handled."""
    try:
        yield
    except OSError as error:
        log.warning("%s is left as it is: %s", escape(name), error.strerror)
