"""Writes the files as a tar.gz to stdout. This is a program of its own, so that it has a processor of its own.

    python -m quotenode_backup archive REPORT_FD INDEX_FD SOURCES

SOURCES is JSON: `[{"name", "root", "subPath", "claimName"}]`. JSON lines are written to REPORT_FD: counts now and then, and `done` or `failed` at the
end. The index of the archive is written to INDEX_FD.

The files may change while they are read. No link is followed, everything is opened relative to its folder, and the status of each file and
folder is checked again after it was read.
"""

import hashlib
import json
import os
import resource
import signal
import stat
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import VERDICTS, Reason, RunFailed
from quotenode_backup.runner.files.account import Account
from quotenode_backup.runner.files.compressible import ENOUGH
from quotenode_backup.runner.files.entries import BLOCK, END_OF_ARCHIVE, SETID, headers, make_entry
from quotenode_backup.runner.files.index import Index, Listed
from quotenode_backup.runner.files.packing import Packer
from quotenode_backup.runner.files.source import open_source
from quotenode_backup.runner.process.display import escape

_READ = 1 << 18
"""Bytes. What is read at a time is hashed while it is in the processor's cache."""
_REPORT_EVERY = 64 << 20
_LEFT_OUT = {
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "fifo",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


class Archive:
    def __init__(self, out: int, index: int, reports: IO[str]) -> None:
        self._reports = reports
        self._index = Index(index)
        self._packer = Packer(out, self._index.placed)
        self.account = Account()
        self._claim = ""
        self._reported = 0
        self._linked: dict[tuple[int, ...], str] = {}

    def add_source(self, source: dict[str, str]) -> None:
        root, name, self._claim = Path(source["root"]), source["name"], source["claimName"]
        folder = open_source(root, source["subPath"])
        is_claim_root = os.path.samestat(os.fstat(folder), root.stat())
        prefix = "" if name == "." else f"{name}/"
        if prefix:
            self._put(make_entry(prefix, os.fstat(folder), tarfile.DIRTYPE), os.fstat(folder))
        top = _OpenFolder(prefix, folder)
        top.leave_out({"lost+found"} if is_claim_root else set())
        self._note_leftovers(top)
        self._add_tree(top)

    def _note_leftovers(self, root: "_OpenFolder") -> None:
        """What a restore has put beside the files, such as those that it replaced, is not part of them."""
        leftovers = [name for name in root.names if name.startswith(shape.RESTORE_PREFIX)]
        for name in leftovers:
            self.account.leftovers += 1
            self.account.note(root.path + name, "leftover of a restore: left out")
        root.leave_out(set(leftovers))

    def _add_tree(self, root: "_OpenFolder") -> None:
        """Uses a stack instead of recursion, since a tree may be deeper than Python's limit of recursion."""
        stack = [root]
        try:
            while stack:
                name = next(stack[-1].left, None)
                if name is None:
                    self._leave(stack.pop())
                elif below := self._add(stack[-1], name):
                    stack.append(below)
        finally:
            for left in stack:
                os.close(left.descriptor)

    def _leave(self, folder: "_OpenFolder") -> None:
        if folder.changed():
            self.account.note(folder.path or "./", "this folder changed while it was read")
        os.close(folder.descriptor)

    def _add(self, folder: "_OpenFolder", name: str) -> "_OpenFolder | None":
        path = folder.path + name
        try:
            seen = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
            return self._add_seen(folder.descriptor, name, path, seen)
        except FileNotFoundError:
            self.account.note(path, "vanished while its folder was read: not in the archive")
        except PermissionError as error:
            raise self._unreadable(path) from error
        except OSError as error:
            where = f"{escape(path)} of claim {self._claim}"
            raise RunFailed(Reason.IO_ERROR, f"Reading {where} failed: {error.strerror}.") from error
        return None

    def _add_seen(self, folder: int, name: str, path: str, seen: os.stat_result) -> "_OpenFolder | None":
        kind = stat.S_IFMT(seen.st_mode)
        if kind == stat.S_IFDIR:
            return self._add_folder(folder, name, path)
        if kind == stat.S_IFREG:
            self._add_file(folder, name, path, seen)
        elif kind == stat.S_IFLNK:
            self._add_link(folder, name, path, seen)
        else:
            self.account.note(path, f"{_LEFT_OUT.get(kind, 'neither file nor folder')}: left out")
        return None

    def _add_folder(self, folder: int, name: str, path: str) -> "_OpenFolder":
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        try:
            opened = _OpenFolder(f"{path}/", descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._put(make_entry(f"{path}/", opened.before, tarfile.DIRTYPE), opened.before)
        self.account.folders += 1
        return opened

    def _add_link(self, folder: int, name: str, path: str, seen: os.stat_result) -> None:
        entry = make_entry(path, seen, tarfile.SYMTYPE)
        entry.linkname = os.readlink(name, dir_fd=folder)
        self._put(entry, seen)
        self.account.links += 1

    def _add_file(self, folder: int, name: str, path: str, seen: os.stat_result) -> None:
        if (first := self._linked.get(_content(seen))) is not None:
            entry = make_entry(path, seen, tarfile.LNKTYPE)
            entry.linkname = first
            self._put(entry, seen)
            self.account.files += 1
            return
        # O_NONBLOCK: if a fifo has taken the place of the file, opening it must not wait for a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            self._add_open_file(descriptor, path)
        finally:
            os.close(descriptor)

    def _add_open_file(self, descriptor: int, path: str) -> None:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            self.account.note(path, "was replaced by something that is not a file: left out")
            return
        if before.st_mode & SETID:
            self.account.note(path, "its set-user-id and set-group-id bits are not in the archive")
        entry = make_entry(path, before, tarfile.REGTYPE)
        entry.size = before.st_size
        listed = self._put(entry, before)
        listed.sha256 = self._copy(descriptor, path, before.st_size)
        self._compare(path, before, os.fstat(descriptor))
        if before.st_nlink > 1:
            self._linked[_content(before)] = path
        self.account.files += 1

    def _copy(self, descriptor: int, path: str, size: int) -> str:
        """The hash of what was copied."""
        digest, left = hashlib.sha256(), size
        while left:
            room = self._packer.room()[: min(left, _READ)]
            count = os.readv(descriptor, [room])
            if not count:
                raise self._changed(path)
            if left == size:
                self._packer.note_beginning(bytes(room[:ENOUGH]))
            digest.update(room[:count])
            self._packer.fill(count)
            left -= count
            self._count(count)
        self._packer.write(bytes(-size % BLOCK))
        return digest.hexdigest()

    def _compare(self, path: str, before: os.stat_result, after: os.stat_result) -> None:
        """Any write changes the time of modification. A change of the inode alone (a rename, a link, a removal) keeps the content."""
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise self._changed(path)
        if after.st_nlink == 0:
            self.account.note(path, "was removed while it was read: all of it is in the archive")
        elif before.st_ctime_ns != after.st_ctime_ns:
            self.account.note(path, "was renamed, linked or given another owner or mode while it was read")

    def _count(self, count: int) -> None:
        self.account.bytes += count
        if self.account.bytes - self._reported >= _REPORT_EVERY:
            self._reported = self.account.bytes
            self.report(progress={"files": self.account.files, "bytes": self.account.bytes})

    def _put(self, entry: tarfile.TarInfo, seen: os.stat_result) -> Listed:
        head = headers(entry, seen.st_mtime_ns)
        at = self._packer.begin(len(head) + entry.size + -entry.size % BLOCK)
        self._packer.write(head)
        listed = Listed(entry, seen.st_mtime_ns, at)
        self._index.add(listed)
        return listed

    def _unreadable(self, path: str) -> RunFailed:
        return RunFailed(
            Reason.FILE_UNREADABLE,
            f"{escape(path)} of claim {self._claim} cannot be read by user id {os.geteuid()}: set spec.pod.runAsUser to the "
            "owner of the files, or give that user the right to read it.",
        )

    def _changed(self, path: str) -> RunFailed:
        return RunFailed(
            Reason.FILE_CHANGED,
            f"{escape(path)} of claim {self._claim} was written to while it was read, so the archive would contain neither its "
            "old nor its new content: back up only files that are written once, or at a time when nothing is written.",
        )

    def finish(self) -> None:
        """The end of the archive has a member of its own, so that every other one may be taken over by a later archive."""
        self._packer.end_member()
        self._packer.write(END_OF_ARCHIVE)
        self._packer.end_member()
        self._index.finish()
        self.report(done=vars(self.account))

    def report(self, **what: Any) -> None:
        print(json.dumps(what), file=self._reports, flush=True)


class _OpenFolder:
    """A folder whose entries are being added."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self.before = os.fstat(descriptor)
        self.names = sorted(os.listdir(descriptor))
        self.left: Iterator[str] = iter(self.names)

    def leave_out(self, names: set[str]) -> None:
        """Must be called before the first entry is added."""
        self.names = [name for name in self.names if name not in names]
        self.left = iter(self.names)

    def changed(self) -> bool:
        return self.before.st_mtime_ns != os.fstat(self.descriptor).st_mtime_ns


def _content(seen: os.stat_result) -> tuple[int, ...]:
    """What two hard links to one file share. The number of the inode is not enough: it may have been given to another file meanwhile, or the file may
    have new content."""
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def main(arguments: Sequence[str]) -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # so that the exit code tells when the next program ended first
    reports_to, index, sources = int(arguments[0]), int(arguments[1]), json.loads(arguments[2])
    _allow_deep_trees()
    with os.fdopen(reports_to, "w", encoding="utf-8") as reports:
        archive = Archive(sys.stdout.fileno(), index, reports)
        try:
            for source in sources:
                archive.add_source(source)
            archive.finish()
        except RunFailed as failure:
            archive.report(failed={"reason": failure.reason, "message": failure.message})
            return VERDICTS[failure.reason].exit_code
    return 0


def _allow_deep_trees() -> None:
    """One folder is open for each level of the tree."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
