"""Archives for the tests of a restore: made by the real archive, or forged."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import quotenode_backup
from quotenode_backup.runner.bundle.streams import Unpacked
from quotenode_backup.runner.files.archive_check import Tally
from quotenode_backup.runner.files.extract import Found, extract, scan

PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)
UNLIMITED = Tally(1 << 60, 1 << 60, 1 << 60, 1 << 60)


def archive_of(sources: Mapping[str, Path]) -> tuple[bytes, Tally]:
    """What the program `archive` writes, and what it counted."""
    given = [{"name": name, "root": str(root), "subPath": "", "claimName": "c"} for name, root in sources.items()]
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "quotenode_backup", "archive", str(writing), json.dumps(given)]
    ended = subprocess.run(command, env={"PYTHONPATH": PACKAGE}, pass_fds=[writing], stdout=subprocess.PIPE, check=True)
    os.close(writing)
    with os.fdopen(reading) as report:
        done = json.loads(report.read().splitlines()[-1])["done"]
    return ended.stdout, Tally(done["files"], done["folders"], done["links"], done["bytes"])


def forged(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], ending: bytes = bytes(1024)) -> bytes:
    """Any headers one after the other."""
    out = io.BytesIO()
    for entry in entries:
        header, content = entry if isinstance(entry, tuple) else (entry, b"")
        header.size = header.size or len(content)
        out.write(header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        out.write(content + bytes(-len(content) % 512))
    return out.getvalue() + ending


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def stream(tar: bytes) -> Unpacked:
    return Unpacked(iter([tar[start : start + 70_000] for start in range(0, len(tar), 70_000)]))


@contextmanager
def opened(**folders: Path) -> Iterator[dict[str, int]]:
    """Descriptors of folders, by the names of their sources (`whole` is `.`)."""
    with ExitStack() as stack:
        descriptors = {}
        for name, folder in folders.items():
            descriptors["." if name == "whole" else name] = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptors["." if name == "whole" else name])
        yield descriptors


def extracted(tar: bytes, folder: Path, most: Tally = UNLIMITED) -> Found:
    """An archive of one source, which is the whole of it."""
    folder.mkdir()
    with opened(whole=folder) as targets:
        return extract(stream(tar), ["."], targets, most)


def scanned(tar: bytes, *sources: str, most: Tally = UNLIMITED) -> Found:
    return scan(stream(tar), sources or ["."], most)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
