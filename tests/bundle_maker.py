"""Bundles made without a backup: to those who count, read and remove bundles they are what a backup leaves."""

import hashlib
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from quotenode_backup.contract.manifest import (
    BundleManifest,
    BundleTarget,
    CommitRecord,
    DatabaseMember,
    FilesMember,
    FilesSource,
    RunnerUser,
)
from quotenode_backup.domain import bundle as shape
from quotenode_backup.runner.bundle.members import Segment, end_of_archive
from quotenode_backup.runner.process.gzip_blocks import write_all


def manifest(
    target: BundleTarget, run_uid: str, completed: datetime, dump: bytes, files: bytes | None = None, **changes: Any
) -> BundleManifest:
    fields: dict[str, Any] = {
        "format_version": 1,
        "run_uid": run_uid,
        "namespace": "shop",
        "name": "nightly",
        "attempt": 1,
        "initiated_by": "Scheduler",
        "started": completed,
        "completed": completed,
        "target": target,
        "versions": {"server": "17.10", "pgDump": "17.10"},
        "runner": RunnerUser(uid=10001, gid=10001),
        "database": DatabaseMember(member="backup.dump", size_bytes=len(dump), sha256=sha256(dump)),
        "note_count": 0,
        "notes": (),
        "files": None if files is None else _files(files),
    }
    return BundleManifest(**{**fields, **changes})


def _files(content: bytes) -> FilesMember:
    return FilesMember(
        member="files.tar.gz",
        size_bytes=len(content),
        sha256=sha256(content),
        files=0,
        folders=0,
        links=0,
        content_bytes=0,
        sources=(FilesSource(name="uploads", claim_name="quotenode-uploads", sub_path=""),),
    )


def members(described: BundleManifest | bytes, dump: bytes, files: bytes | None = None) -> dict[str, bytes]:
    """What a backup would put into a bundle with this manifest, in its order."""
    parts = {shape.DUMP: dump} if files is None else {shape.FILES: files, shape.DUMP: dump}
    parts[shape.MANIFEST] = described if isinstance(described, bytes) else described.to_json()
    checksums = "".join(shape.checksum_line(sha256(content), name) for name, content in parts.items())
    return {**parts, shape.CHECKSUMS: checksums.encode()}


def pack(path: Path, content: dict[str, bytes]) -> None:
    pack_members(path, content.items())


def pack_members(path: Path, content: Iterable[tuple[str, bytes]]) -> None:
    """Members may have the same name."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        for name, data in content:
            segment = Segment(descriptor, name, 1_700_000_000)
            segment.write(memoryview(data))
            segment.close()
        write_all(descriptor, [end_of_archive()])
    finally:
        os.close(descriptor)


def record(path: Path, described: BundleManifest) -> CommitRecord:
    """Writes checksum file and commit record of whatever lies at `path`."""
    content = path.read_bytes()
    recorded = described.recorded(path.name, len(content), sha256(content))
    path.with_name(f"{path.name}.sha256").write_text(shape.checksum_line(sha256(content), path.name))
    path.with_name(shape.record_name(path.name)).write_bytes(recorded.to_json())
    return recorded


def put(path: Path, described: BundleManifest, dump: bytes, files: bytes | None = None) -> CommitRecord:
    """A bundle as a backup leaves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pack(path, members(described, dump, files))
    return record(path, described)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
