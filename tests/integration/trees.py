"""Folders with every oddity, and what a folder holds, so that two can be compared."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    kind: str
    mode: int
    modified_ns: int | None
    content: bytes
    """The bytes of a file, the target of a link."""


def snapshot(folder: Path) -> dict[bytes, Entry]:
    """Everything below a folder, by its name as bytes. A link's own time is not kept by every tar, so not compared."""
    return {os.fsencode(path.relative_to(folder)): _entry(path) for path in folder.rglob("*")}


def names(folder: Path) -> set[bytes]:
    return {os.fsencode(path.relative_to(folder)) for path in folder.rglob("*")}


def _entry(path: Path) -> Entry:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Entry("link", 0, None, os.fsencode(path.readlink()))
    if stat.S_ISREG(status.st_mode):
        return Entry("file", mode, status.st_mtime_ns, path.read_bytes())
    return Entry("folder" if stat.S_ISDIR(status.st_mode) else "other", mode, status.st_mtime_ns, b"")


def own(folder: Path, user: int) -> None:
    """Hand a whole tree to a user, links themselves included."""
    for path in [folder, *folder.rglob("*")]:
        os.lchown(path, user, user)


def write(path: Path, content: bytes | str, mode: int = 0o640, modified_ns: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    if modified_ns is not None:
        os.utime(path, ns=(modified_ns, modified_ns))
    return path


def usual_uploads(folder: Path) -> None:
    """What QuoteNode keeps beside its database."""
    for number in range(1, 6):
        content = f"%PDF-1.7 document {number}\n".encode() + os.urandom(20_000)
        write(folder / "offers" / f"doc-{number}.pdf", content, 0o640, 1_750_000_000_123_456_789 + number)
    write(folder / "images" / "logo.png", os.urandom(5_000), 0o644, 1_700_000_000_000_000_001)
    write(folder / "images" / "empty.png", b"", 0o600)
    (folder / "images" / "current.png").symlink_to("logo.png")
    (folder / "nothing here").mkdir(mode=0o750)
