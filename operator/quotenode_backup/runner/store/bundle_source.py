"""The bundle that a restore reads. Anybody can have written it, so all of it is read and compared before anything is done with it."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quotenode_backup.contract.manifest import BundleManifest, NewerFormat, StoredMember, parse_manifest
from quotenode_backup.contract.restore_plans import PlannedBundle
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle.members import Part
from quotenode_backup.runner.bundle.reader import Contents, Mismatch, Reading
from quotenode_backup.runner.files.folders import NOT_A_FOLDER, steps_of
from quotenode_backup.runner.process.display import escape, sentence
from quotenode_backup.runner.store.folder import BundleFolder, reached

_NOT_ALLOWED = {errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class BundleSource:
    """The place of a bundle, and nothing that is known about its content."""

    planned: PlannedBundle
    folder: BundleFolder
    name: str

    @property
    def shown(self) -> str:
        return shown(self.planned)

    def refused(self, why: str) -> RunFailed:
        return RunFailed(
            Reason.BUNDLE_INVALID,
            f"{self.shown} is refused: {sentence(why, 250)}. Nothing was changed: restore another backup.",
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle holds that was read from its first to its last byte."""

    manifest: BundleManifest
    members: Mapping[str, Part]
    sha256: str


@contextmanager
def opened_bundle(planned: PlannedBundle, root: Path) -> Iterator[BundleSource]:
    """`root`: where the bundle's claim is mounted."""
    *folders, name = steps_of(planned.path) or [""]
    if not name:
        raise _missing(planned, "is not the path of a file inside the claim")
    try:
        with reached(root, folders) as folder:
            if folder is None or folder.size(name) is None:
                raise _missing(planned, "is not a file on the claim")
            yield BundleSource(planned, folder, name)
    except OSError as error:
        raise _unreadable(planned, error) from error


def verify(source: BundleSource, reading: Reading) -> Verified:
    """Raises RunFailed unless the hash is the expected one, and all that the bundle says about itself is true."""
    try:
        with source.folder.file(source.name) as file:
            found = reading.contents(file)
    except Mismatch as mismatch:
        raise source.refused(str(mismatch)) from mismatch
    if source.planned.sha256 not in (None, found.sha256):
        raise source.refused(f"its SHA-256 is {found.sha256}, and must be {source.planned.sha256}")
    return _described(source, found)


def _described(source: BundleSource, found: Contents) -> Verified:
    manifest = parse_manifest(found.small.get(shape.MANIFEST, b""))
    if isinstance(manifest, NewerFormat):
        raise source.refused(f"its manifest is {manifest}")
    if manifest is None:
        raise source.refused("it has no manifest of this operator")
    members = {part.name: part for part in found.parts}
    wanted = {member.member: member for member in _stored(manifest)}
    if sorted(part.name for part in found.parts) != sorted([*wanted, shape.MANIFEST, shape.CHECKSUMS]):
        raise source.refused("its members are not those in its manifest")
    for name, member in wanted.items():
        if members[name] != Part(name, member.size_bytes, member.sha256):
            raise source.refused(f"{name} in it is not the one in its manifest")
    _require_checksums(source, found)
    if source.planned.run_uid not in (None, manifest.run_uid):
        raise source.refused("it is the bundle of another backup")
    return Verified(manifest, members, found.sha256)


def _stored(manifest: BundleManifest) -> list[StoredMember]:
    return [manifest.database, *([manifest.files] if manifest.files else [])]


def _require_checksums(source: BundleSource, found: Contents) -> None:
    """`checksums.sha256` names each member but itself."""
    lines = [shape.checksum_line(p.sha256, p.name).encode() for p in found.parts if p.name != shape.CHECKSUMS]
    if sorted(found.small.get(shape.CHECKSUMS, b"").splitlines(keepends=True)) != sorted(lines):
        raise source.refused(f"{shape.CHECKSUMS} in it does not fit its members")


def shown(planned: PlannedBundle) -> str:
    return sentence(f"{escape(planned.path)} of claim {planned.claim.claim_name}", 250)


def _missing(planned: PlannedBundle, what: str) -> RunFailed:
    return RunFailed(Reason.SOURCE_MISSING, f"{shown(planned)} {what}: nothing was changed. Restore another backup.")


def _unreadable(planned: PlannedBundle, error: OSError) -> RunFailed:
    if error.errno in NOT_A_FOLDER:
        return _missing(planned, "is reached through a link or a file, not a folder")
    if error.errno in _NOT_ALLOWED:
        return RunFailed(
            Reason.FILE_UNREADABLE,
            f"User id {os.geteuid()} cannot read {shown(planned)} ({error.strerror}): set spec.pod.runAsUser or spec.pod.fsGroup, or change its mode.",
        )
    return RunFailed(Reason.IO_ERROR, f"Reading {shown(planned)} failed: {error.strerror}.")
