"""What a tree of files, or a tar archive of one, holds: path, kind, mode, time, and content or link target.

A byte of a path that is not UTF-8 is a surrogate escape, which JSON shows as \\udcXX. Of ownership nothing is
said: it is the unpacker's. Sockets, fifos and devices are left out.
"""

import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

Fact = dict[str, Any]
PERMISSIONS = 0o7777
NANOSECONDS = 10**9
CHUNK = 1 << 20


def of_tree(root: Path, paths: Sequence[str]) -> Iterator[Fact]:
    for start in [root / path for path in paths] or sorted(root.iterdir()):
        yield from _of_path(root, start)


def of_tar(archive: Path, paths: Sequence[str]) -> Iterator[Fact]:
    with tarfile.open(archive, encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            path = os.path.normpath(member.name)
            if path != "." and _is_wanted(path, paths):
                yield from _of_member(tar, member, path)


def _of_path(root: Path, path: Path) -> Iterator[Fact]:
    seen = path.lstat()
    fact = _fact(str(path.relative_to(root)), seen.st_mode, seen.st_mtime_ns)
    if stat.S_ISDIR(seen.st_mode):
        yield fact | {"type": "folder"}
        for entry in sorted(path.iterdir()):
            yield from _of_path(root, entry)
    elif stat.S_ISREG(seen.st_mode):
        with path.open("rb") as content:
            yield fact | _content(content)
    elif stat.S_ISLNK(seen.st_mode):
        yield fact | {"type": "link", "target": str(path.readlink())}


def _of_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> Iterator[Fact]:
    fact = _fact(path, member.mode, _mtime_ns(member))
    if member.isdir():
        yield fact | {"type": "folder"}
    elif member.isreg() or member.islnk():
        content = tar.extractfile(member)
        assert content is not None, member.name
        yield fact | _content(content)
    elif member.issym():
        yield fact | {"type": "link", "target": member.linkname}


def _content(content: IO[bytes]) -> Fact:
    digest = sha256()
    while chunk := content.read(CHUNK):
        digest.update(chunk)
    return {"type": "file", "sha256": digest.hexdigest()}


def _fact(path: str, mode: int, mtime_ns: int) -> Fact:
    return {"path": path, "mode": f"{mode & PERMISSIONS:04o}", "mtime_ns": mtime_ns}


def _is_wanted(path: str, paths: Sequence[str]) -> bool:
    return not paths or any(path == wanted or path.startswith(f"{wanted}/") for wanted in paths)


def _mtime_ns(member: tarfile.TarInfo) -> int:
    """TarInfo.mtime is a float, too coarse for nanoseconds; the header's own text is exact."""
    return int(Decimal(member.pax_headers.get("mtime", member.mtime)) * NANOSECONDS)
