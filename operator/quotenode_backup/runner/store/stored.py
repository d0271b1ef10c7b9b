"""Compares a bundle in the folder with its commit record. Other programs write into the folder too, so only what was read is believed."""

import os
from collections.abc import Iterable
from contextlib import suppress

from quotenode_backup.contract.manifest import CommitRecord, NewerFormat, parse_manifest
from quotenode_backup.domain import bundle as shape
from quotenode_backup.runner.bundle.members import Part
from quotenode_backup.runner.bundle.reader import Contents, Mismatch, Reading
from quotenode_backup.runner.store.folder import BundleFolder


def flaw(folder: BundleFolder, record: CommitRecord, reading: Reading) -> str:
    """What is wrong with the bundle of a commit record; empty if nothing is.

    Raises Stopped if the reading was stopped, and RunFailed if pg_restore was killed: neither says anything about the bundle.
    """
    bundle = record.bundle
    try:
        if folder.size(bundle.name) != bundle.size_bytes:
            return "it is not a file of the size in its commit record"
        with folder.file(bundle.name) as file:
            return difference(record, reading.contents(file))
    except Mismatch as mismatch:
        return str(mismatch)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def has_holes(folder: BundleFolder, record: CommitRecord) -> bool:
    """Whether the file is sparse. A bundle is not, so a sparse file of the right size was not written to its end.

    On a filesystem that does not report holes no file is sparse.
    """
    with folder.file(record.bundle.name) as file, suppress(OSError):
        return os.lseek(file.fileno(), 0, os.SEEK_HOLE) < record.bundle.size_bytes
    return False


def difference(record: CommitRecord, found: Contents) -> str:
    """How the contents of a bundle differ from its commit record; empty if they do not."""
    parts = _recorded_parts(record)
    if found.sha256 != record.bundle.sha256:
        return "its hash differs"
    if sorted(part.name for part in found.parts) != sorted([*parts, shape.MANIFEST, shape.CHECKSUMS]):
        return "its members are not those in its commit record"
    for part in parts.values():
        if part not in found.parts:
            return f"{part.name} in it differs"
    others = [part for part in found.parts if part.name != shape.CHECKSUMS]
    if sorted(found.small.get(shape.CHECKSUMS, b"").splitlines(keepends=True)) != sorted(_lines(others)):
        return "the checksums in it differ"
    manifest = parse_manifest(found.small.get(shape.MANIFEST, b""))
    if isinstance(manifest, NewerFormat):
        return f"the manifest in it is {manifest}"
    return "" if manifest and record.agrees_with(manifest) else "the manifest in it differs from its commit record"


def _recorded_parts(record: CommitRecord) -> dict[str, Part]:
    return {one.member: Part(one.member, one.size_bytes, one.sha256) for one in record.stored_members}


def _lines(parts: Iterable[Part]) -> list[bytes]:
    return [shape.checksum_line(part.sha256, part.name).encode() for part in parts]
