"""Trees of files, and what the archive program makes of them, started as the runner starts it."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import quotenode_backup
from quotenode_backup.contract.index import IndexEntry
from quotenode_backup.runner.process.compression import zstd

PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)


@dataclass(frozen=True)
class Archived:
    content: bytes
    """The tar.gz."""
    index: bytes
    reported: dict[str, Any]
    """The last thing that was reported."""

    @property
    def lines(self) -> list[bytes]:
        return zstd.decompress(self.index).splitlines(keepends=True)

    @property
    def entries(self) -> list[IndexEntry]:
        return [IndexEntry.from_line(line) for line in self.lines]


def archived(root: Path, *, name: str = ".", sub_path: str = "", code: int = 0) -> Archived:
    sources = json.dumps([{"name": name, "root": str(root), "subPath": sub_path, "claimName": "uploads"}])
    with tempfile.TemporaryFile("w+") as reports, tempfile.TemporaryFile() as index:
        outputs = [reports.fileno(), index.fileno()]
        command = [sys.executable, "-m", "quotenode_backup", "archive", *map(str, outputs), sources]
        ended = subprocess.run(
            command, env={"PYTHONPATH": PACKAGE}, pass_fds=outputs, stdout=subprocess.PIPE, check=False
        )
        assert ended.returncode == code
        reports.seek(0)
        index.seek(0)
        return Archived(ended.stdout, index.read(), json.loads(reports.read().splitlines()[-1]))


def extracted(content: bytes, folder: Path) -> Path:
    folder.mkdir()
    ended = subprocess.run(["tar", "-xpzf", "-", "-C", folder], input=content, capture_output=True, check=True)
    assert ended.stderr == b""
    return folder


names = st.binary(min_size=1, max_size=60).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
moments = st.integers(0, 1_700_000_000_000_000_000)
leaves = st.tuples(st.binary(max_size=3000), st.sampled_from([0o600, 0o644, 0o755]), moments)
trees = st.recursive(
    st.dictionaries(
        names, leaves | st.binary(min_size=1, max_size=200).filter(lambda target: b"\0" not in target), max_size=5
    ),
    lambda below: st.dictionaries(names, below | leaves, max_size=4),
    max_leaves=12,
)


def build(folder: Path, tree: Any) -> None:
    folder.mkdir()
    for name, what in tree.items():
        path = folder / os.fsdecode(name)
        if isinstance(what, dict):
            build(path, what)
        elif isinstance(what, bytes):
            path.symlink_to(os.fsdecode(what))
        else:
            write(path, *what)


def write(path: Path, content: bytes, mode: int, moment: int) -> None:
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(moment, moment))
