"""The folder outside the tree where built things stay, each under a name made from its inputs.

An artifact is made in a scratch folder and renamed into place when it is whole, so an interrupted
run leaves nothing that a later run could take for finished work.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .shell import say

APPLICATION = "quotenode-backup-operator"
SCRATCH_PREFIX = ".making-"
GENERATIONS_KEPT = 2
LOCK = ".lock"


def default_root() -> Path:
    if chosen := os.environ.get("QN_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / APPLICATION


def key_of(*inputs: str | Path) -> str:
    """A short digest of texts, files and whole folders (relative names, modes and contents)."""
    digest = hashlib.sha256()
    for part in inputs:
        for piece in _pieces(part):
            digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()[:16]


def _pieces(part: str | Path) -> Iterator[bytes]:
    if isinstance(part, str):
        yield part.encode()
    elif part.is_dir():
        for path in sorted(files_under(part)):
            yield str(path.relative_to(part)).encode()
            yield from _pieces(path)
    else:
        yield f"{part.stat().st_mode & 0o111:o}".encode()
        yield part.read_bytes()


def files_under(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


@dataclass(frozen=True)
class Cache:
    root: Path

    def folder(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def artifact(self, name: str, key: str, make: Callable[[Path], None]) -> Path:
        """The folder of artifact `name` for these inputs; `make` fills it when it is not there yet."""
        shelf = self.folder(name)
        finished = shelf / key
        with locked(shelf / LOCK, f"the {name} that another run makes"):
            prune(shelf, GENERATIONS_KEPT)
            if not finished.exists():
                scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=shelf))
                make(scratch)
                scratch.rename(finished)
        os.utime(finished)
        return finished

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for passing things on, gone afterwards."""
        shelf = self.folder("scratch")
        with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=shelf, ignore_cleanup_errors=True) as path:
            yield Path(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One change of cluster and images at a time. What a killed run left in the way goes first."""
        with locked(self.folder(".") / LOCK, "another run of the cluster harness"):
            for leftover in self.folder("scratch").iterdir():
                if not Path("/proc", leftover.name.split("-")[0]).exists():
                    shutil.rmtree(leftover, ignore_errors=True)
            yield


@contextmanager
def locked(path: Path, holder: str) -> Iterator[None]:
    """The kernel lets go of this lock when its holder dies."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"--> waiting for {holder}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def prune(shelf: Path, kept: int) -> None:
    """Drop what interrupted runs left, and all but the newest generations. Only under the shelf's lock."""
    for leftover in shelf.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    generations = sorted(shelf.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in generations[kept:]:
        shutil.rmtree(old, ignore_errors=True)
