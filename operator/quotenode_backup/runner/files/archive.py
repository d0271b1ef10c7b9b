"""Writes the files as an uncompressed tar to stdout. This is a program of its own, so that it has a processor of its own.

    python -m quotenode_backup archive REPORT_FD SOURCES

SOURCES is JSON: `[{"name", "root", "subPath", "claimName"}]`. JSON lines are written to REPORT_FD: counts now and then, and `done` or `failed` at the
end.

The tar has GNU's format. Names are in it as the bytes that they are, and each entry has one pax record for its exact time. GNU tar and bsdtar both
restore that in every locale and without a warning, which is not so for pax records with names that are not UTF-8.

The files may change while they are read. No link is followed, everything is opened relative to its folder, and the status of each file and
folder is checked again after it was read.
"""

import json
import os
import resource
import signal
import stat
import sys
import tarfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from quotenode_backup.domain.reasons import VERDICTS, Reason, RunFailed
from quotenode_backup.runner.files.account import Account
from quotenode_backup.runner.files.source import open_source
from quotenode_backup.runner.process.display import escape

_BUFFER = 1 << 18
_BLOCK = 512
_REPORT_EVERY = 64 << 20
_SETID = stat.S_ISUID | stat.S_ISGID
_ENCODING, _ERRORS = "utf-8", "surrogateescape"
_LEFT_OUT = {
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "fifo",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


class Archive:
    def __init__(self, out: IO[bytes], reports: IO[str]) -> None:
        self._out, self._reports = out, reports
        self.account = Account()
        self._claim = ""
        self._reported = 0
        self._linked: dict[tuple[int, ...], str] = {}
        self._buffer = memoryview(bytearray(_BUFFER))

    def add_source(self, source: dict[str, str]) -> None:
        root, name, self._claim = Path(source["root"]), source["name"], source["claimName"]
        folder = open_source(root, source["subPath"])
        is_claim_root = os.path.samestat(os.fstat(folder), root.stat())
        prefix = "" if name == "." else f"{name}/"
        if prefix:
            self._put(_entry(prefix, os.fstat(folder), tarfile.DIRTYPE), os.fstat(folder))
        skip = {"lost+found"} if is_claim_root else set()
        self._add_tree(prefix, folder, skip)

    def _add_tree(self, prefix: str, folder: int, skip: set[str]) -> None:
        """Uses a stack instead of recursion, since a tree may be deeper than Python's limit of recursion."""
        stack = [_OpenFolder(prefix, folder, skip)]
        try:
            while stack:
                name = next(stack[-1].names, None)
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
            opened = _OpenFolder(f"{path}/", descriptor, set())
        except BaseException:
            os.close(descriptor)
            raise
        self._put(_entry(f"{path}/", opened.before, tarfile.DIRTYPE), opened.before)
        self.account.folders += 1
        return opened

    def _add_link(self, folder: int, name: str, path: str, seen: os.stat_result) -> None:
        entry = _entry(path, seen, tarfile.SYMTYPE)
        entry.linkname = os.readlink(name, dir_fd=folder)
        self._put(entry, seen)
        self.account.links += 1

    def _add_file(self, folder: int, name: str, path: str, seen: os.stat_result) -> None:
        if (first := self._linked.get(_content(seen))) is not None:
            entry = _entry(path, seen, tarfile.LNKTYPE)
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
        if before.st_mode & _SETID:
            self.account.note(path, "its set-user-id and set-group-id bits are not in the archive")
        entry = _entry(path, before, tarfile.REGTYPE)
        entry.size = before.st_size
        self._put(entry, before)
        self._copy(descriptor, path, before.st_size)
        self._compare(path, before, os.fstat(descriptor))
        if before.st_nlink > 1:
            self._linked[_content(before)] = path
        self.account.files += 1

    def _copy(self, descriptor: int, path: str, size: int) -> None:
        left = size
        while left:
            count = os.readv(descriptor, [self._buffer[: min(left, _BUFFER)]])
            if not count:
                raise self._changed(path)
            self._out.write(self._buffer[:count])
            left -= count
            self._count(count)
        self._out.write(bytes(-size % _BLOCK))

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

    def _put(self, entry: tarfile.TarInfo, seen: os.stat_result) -> None:
        self._out.write(_time_record(seen.st_mtime_ns))
        self._out.write(entry.tobuf(tarfile.GNU_FORMAT, _ENCODING, _ERRORS))

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
        self._out.write(bytes(2 * _BLOCK))
        self._out.flush()
        self.report(done=vars(self.account))

    def report(self, **what: Any) -> None:
        print(json.dumps(what), file=self._reports, flush=True)


class _OpenFolder:
    """A folder whose entries are being added."""

    def __init__(self, path: str, descriptor: int, skip: set[str]) -> None:
        self.path, self.descriptor = path, descriptor
        self.before = os.fstat(descriptor)
        names = os.listdir(descriptor)
        names.sort()
        self.names: Iterator[str] = (name for name in names if name not in skip)

    def changed(self) -> bool:
        return self.before.st_mtime_ns != os.fstat(self.descriptor).st_mtime_ns


def _content(seen: os.stat_result) -> tuple[int, ...]:
    """What two hard links to one file share. The number of the inode is not enough: it may have been given to another file meanwhile, or the file may
    have new content."""
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def _entry(path: str, seen: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type = kind
    entry.mode = stat.S_IMODE(seen.st_mode) & (0o7777 if kind == tarfile.DIRTYPE else ~_SETID)
    entry.uid, entry.gid = seen.st_uid, seen.st_gid
    entry.mtime = seen.st_mtime_ns // 1_000_000_000
    return entry


def _time_record(nanoseconds: int) -> bytes:
    """A pax header with the time of the next entry, to the nanosecond."""
    whole, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    sign = "-" if nanoseconds < 0 else ""
    record = _pax_record("mtime", f"{sign}{whole}.{fraction:09d}")
    return _pax_header(len(record)) + record.ljust(_BLOCK, b"\0")


@cache
def _pax_header(length: int) -> bytes:
    header = tarfile.TarInfo("PaxHeaders/mtime")
    header.type, header.size = tarfile.XHDTYPE, length
    return header.tobuf(tarfile.USTAR_FORMAT)


def _pax_record(key: str, value: str) -> bytes:
    """`LENGTH KEY=VALUE`, where LENGTH includes its own digits."""
    text = f" {key}={value}\n"
    length = len(text) + 2
    return f"{length}{text}".encode()


def main(arguments: Sequence[str]) -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # so that the exit code tells when the next program ended first
    descriptor, sources = int(arguments[0]), json.loads(arguments[1])
    _allow_deep_trees()
    with (
        os.fdopen(descriptor, "w", encoding="utf-8") as reports,
        os.fdopen(sys.stdout.fileno(), "wb", _BUFFER, closefd=False) as out,
    ):
        archive = Archive(out, reports)
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
