"""Puts a bundle together while its parts arrive, and adds the manifest and the checksums."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Protocol, Self

from quotenode_backup.contract.manifest import BundleManifest
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.domain import bundle as shape
from quotenode_backup.runner.bundle.manifest import describe
from quotenode_backup.runner.bundle.members import Part, Segment, append_file, end_of_archive, write_all
from quotenode_backup.runner.files.account import Account

ASIDE = ".dump"
"""The suffix of the file that the dump is written to if it does not go straight into the bundle."""


class PartialFiles(Protocol):
    """The files of an attempt that has no bundle yet. A suffix tells them apart."""

    def create(self, suffix: str = "") -> int:
        """A descriptor of a new file, for reading and writing."""

    def remove(self, suffix: str = "") -> None: ...


class PartialBundle:
    """A bundle that has only a partial name yet.

    The archive of the files is written straight into it. The dump, which is usually smaller, is written to a file of its own at the same time, and
    appended afterwards.
    """

    def __init__(self, partial_files: PartialFiles, plan: BackupPlan) -> None:
        self._partial_files, self._plan = partial_files, plan
        self._mtime = int(plan.started.timestamp())
        self._open_files = ExitStack()
        self._bundle = self._create("")
        self._aside = self._create(ASIDE) if plan.files else None
        self._segments: dict[str, Segment] = {}
        self._closed: dict[str, Part] = {}
        self.parts: list[Part] = []
        """The members, in the order in which they are in the bundle. Empty before `finish`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open_files.close()

    def _create(self, suffix: str) -> int:
        descriptor = self._partial_files.create(suffix)
        self._open_files.callback(os.close, descriptor)
        return descriptor

    def open(self, name: str) -> Segment:
        """Begins the member for the files or for the dump."""
        descriptor = self._aside if name == shape.DUMP else self._bundle
        self._segments[name] = Segment(self._bundle if descriptor is None else descriptor, name, self._mtime)
        return self._segments[name]

    def close(self, name: str) -> None:
        """Ends a member whose content has been written."""
        self._closed[name] = self._segments[name].close()

    def finish(self, account: Account, versions: Mapping[str, Any], system_identifier: int) -> BundleManifest:
        """Gives the manifest. When this returns, the whole bundle is on the disk."""
        if self._aside is not None:
            append_file(self._bundle, self._aside)
            self._partial_files.remove(ASIDE)
        self.parts = [self._closed[name] for name in (shape.FILES, shape.DUMP) if name in self._closed]
        manifest = describe(self._plan, self._closed, account, versions, system_identifier)
        self._add_small(shape.MANIFEST, manifest.to_json())
        checksums = "".join(shape.checksum_line(part.sha256, part.name) for part in self.parts)
        self._add_small(shape.CHECKSUMS, checksums.encode())
        write_all(self._bundle, [end_of_archive()])
        os.fsync(self._bundle)
        return manifest

    def _add_small(self, name: str, content: bytes) -> None:
        segment = Segment(self._bundle, name, self._mtime)
        segment.write(memoryview(content))
        self.parts.append(segment.close())
