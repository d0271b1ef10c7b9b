"""The folder of one database's bundles, and how a bundle comes to be in it.

A bundle exists from the moment its commit record does. Before that there are only files named `.partial-…`, and whoever
holds the database's lock may clear those away. Order of a commit: bundle, checksum file, then the record, which was written under its partial name
*before*: should the attempt die in between, the next one finds the record of a bundle that is whole, and finishes the commit.
"""

import errno
import itertools
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quotenode_backup.contract import Plan
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.errors import Reason, RunFailed
from quotenode_backup.domain.naming import bundle_folder
from quotenode_backup.domain.retention import REMOVED_PREFIX
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.wording import shown

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
LARGEST_RECORD = 1 << 20
LONGEST_RUN_SECONDS = 8 * 86400
"""A day more than `activeDeadlineSeconds` can be."""
_NO_BACKUP = (shape.PARTIAL_PREFIX, REMOVED_PREFIX)
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the bundles of the plan's database go."""

    path: Path
    claim_root: Path
    claim: str
    server: str
    """Tells this database server from one of the same name in another cluster that shares the folder."""
    mark: str
    """Tells the partial files of this pod from those of dead ones."""

    @property
    def partials(self) -> str:
        """How the partial files of this server's attempts are called, as a pattern."""
        return f"{shape.PARTIAL_PREFIX}{self.server}-*"

    def partial(self, suffix: str = "") -> Path:
        return self.path / f"{shape.PARTIAL_PREFIX}{self.server}-{self.mark}{suffix}"

    def below_claim(self, name: str) -> str:
        return str((self.path / name).relative_to(self.claim_root))

    def free(self) -> int:
        found = os.statvfs(self.claim_root)
        return found.f_bavail * found.f_frsize

    def free_in_words(self) -> str:
        found = os.statvfs(self.claim_root)
        no_more_names = found.f_files > 0 and found.f_favail == 0
        return (
            "its filesystem has no room for another file" if no_more_names else f"{readable_size(self.free())} are free"
        )

    def written(self) -> int:
        """By this attempt, so far."""
        return sum(path.stat().st_blocks * 512 for path in self.path.glob(f"{self.partial().name}*"))

    def records(self) -> Iterator[Record]:
        """Every commit record that can be read."""
        for path in sorted(self.path.glob(f"*{shape.COMMIT_RECORD_SUFFIX}")):
            if not path.name.startswith(_NO_BACKUP) and (record := read_record(path)):
                yield record


def prepare(root: Path, plan: Plan, server: str, mark: str) -> Folder:
    target = plan.database
    name = bundle_folder(plan.namespace, target.host, target.port, target.name)
    claim_root = root.resolve()
    folder = Folder(_inside(claim_root, plan) / name, claim_root, plan.local.claim_name, server, mark)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        if folder.path.is_symlink():
            raise NotADirectoryError(errno.ELOOP, "its folder for this database is a link")
    except OSError as error:
        raise not_stored(folder, error) from error
    return folder


def _inside(root: Path, plan: Plan) -> Path:
    path = (root / plan.local.sub_path).resolve()
    if not path.is_relative_to(root):
        raise RunFailed(
            Reason.DESTINATION_NOT_WRITABLE,
            f"Folder {shown(plan.local.sub_path)} leads out of claim {plan.local.claim_name} by a link: "
            "correct spec.storage.local.subPath.",
        )
    return path


def require_writable(folder: Folder) -> None:
    """Only after `clear_away`: what a dead attempt left may be what fills the disk."""
    path = folder.partial(".probe")
    path.write_bytes(b"\0")
    path.unlink()


def not_stored(folder: Folder, error: OSError) -> RunFailed:
    """What an error of writing to the destination means."""
    if error.errno in _FULL:
        return no_space(folder, f"the disk or quota is full after {readable_size(folder.written())} of it")
    said = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ELOOP):
        return RunFailed(
            Reason.DESTINATION_NOT_WRITABLE,
            f"User id {os.geteuid()} cannot write to claim {folder.claim} of spec.storage.local ({said}): set "
            "spec.pod.fsGroup or spec.pod.runAsUser to one that may, or repair the folder's owner.",
        )
    return RunFailed(Reason.IO_ERROR, f"Writing to claim {folder.claim} of spec.storage.local failed: {said}.")


def no_space(folder: Folder, why: str) -> RunFailed:
    return RunFailed(
        Reason.NO_SPACE,
        f"Claim {folder.claim} of spec.storage.local is too full for this backup: {why}, {folder.free_in_words()}. "
        "Enlarge the claim or remove old bundles.",
    )


def require_space(folder: Folder, estimate: int) -> None:
    """Refuses only what cannot work; what merely might not is tried, and the disk has the last word.

    `estimate` is the least that the backup can take. Half of the largest bundle so far is a better one, where there is one.
    """
    largest = max((int(record["bundle"]["sizeBytes"]) for record in folder.records()), default=0)
    needed = max(largest // 2, estimate)
    if folder.free() < needed:
        raise no_space(folder, f"it needs {readable_size(needed)} at the very least")


def read_record(path: Path) -> Record | None:
    """A commit record, if that is what `path` is. Anything may lie in a claim, so nothing about it is taken for granted."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_RECORD:
            return None
        return parse_record(path.read_bytes())
    except OSError:
        return None


def parse_record(content: bytes) -> Record | None:
    try:
        record: Record = json.loads(content)
        bundle = record["bundle"]
        is_typed = isinstance(bundle["sizeBytes"], int) and isinstance(record["runUid"], str)
        is_named = Path(bundle["name"]).name == bundle["name"] != ""
        return record if is_typed and is_named and record["runUid"] and bundle["sha256"] else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def clear_away(folder: Folder) -> None:
    """Removes what a dead attempt left, and finishes what it had all but committed. In this order: the disk may be full.

    The lock must be held.
    """
    unfinished: dict[Path, Record] = {}
    for path in folder.path.glob(f"{folder.partials}{shape.COMMIT_RECORD_SUFFIX}"):
        record = read_record(path)
        if record and _had_its_name(folder, path, record):
            unfinished[path] = record
    for path in folder.path.glob(f"{shape.PARTIAL_PREFIX}*"):
        if path not in unfinished and (path.match(folder.partials) or _is_ancient(path)):
            path.unlink(missing_ok=True)
    for path, record in unfinished.items():
        try:
            _finish_commit(folder, path, record)
        except FileNotFoundError:  # the bundle's own removal was faster
            (folder.path / f"{record['bundle']['name']}{shape.CHECKSUM_SUFFIX}").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _is_ancient(path: Path) -> bool:
    """Longer untouched than any run may take: whoever wrote it is dead, wherever that was."""
    with suppress(FileNotFoundError):
        return time.time() - path.lstat().st_mtime > LONGEST_RUN_SECONDS
    return False


def _had_its_name(folder: Folder, partial_record: Path, record: Record) -> bool:
    """Whether the dead attempt came as far as to name its bundle; another run's may be under that name."""
    bundle = folder.path / record["bundle"]["name"]
    partial = partial_record.with_name(partial_record.name.removesuffix(shape.COMMIT_RECORD_SUFFIX))
    if not bundle.exists() or bundle.stat().st_size != record["bundle"]["sizeBytes"]:
        return False
    return not partial.exists() or partial.samefile(bundle)


def _finish_commit(folder: Folder, partial_record: Path, record: Record) -> None:
    name = record["bundle"]["name"]
    if (folder.path / shape.record_name(name)).exists():
        return
    line = shape.checksum_line(record["bundle"]["sha256"], name)
    write_durably(folder.path / f"{name}{shape.CHECKSUM_SUFFIX}", line.encode())
    sync_folder(folder.path)
    partial_record.rename(folder.path / shape.record_name(name))
    sync_folder(folder.path)


def remove_own_partials(folder: Folder) -> None:
    for path in folder.path.glob(f"{folder.partial().name}*"):
        path.unlink(missing_ok=True)


def commit(folder: Folder, wanted_name: str, record: Record) -> str:
    """Gives the finished partial bundle its name, and returns it. Nothing that exists is ever overwritten."""
    for number in itertools.count(1):
        name = shape.numbered(wanted_name, number)
        record["bundle"]["name"] = name
        write_durably(folder.partial(shape.COMMIT_RECORD_SUFFIX), json.dumps(record, indent=2).encode())
        if not _is_spoken_for(folder, name) and _take_name(folder, name):
            break
    try:
        _finish_commit(folder, folder.partial(shape.COMMIT_RECORD_SUFFIX), record)
    except OSError:
        for suffix in (shape.COMMIT_RECORD_SUFFIX, shape.CHECKSUM_SUFFIX, ""):
            (folder.path / f"{name}{suffix}").unlink(missing_ok=True)
        raise
    return name


def _is_spoken_for(folder: Folder, name: str) -> bool:
    """By a commit record, or by a removal that died and will be finished."""
    records = (folder.path / shape.record_name(f"{prefix}{name}") for prefix in ("", REMOVED_PREFIX))
    return any(record.exists() for record in records)


def _take_name(folder: Folder, name: str) -> bool:
    """False when the name is taken."""
    final = folder.path / name
    try:
        os.link(folder.partial(), final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if final.exists():
            return False
        folder.partial().rename(final)
    return True


def write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640)
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
