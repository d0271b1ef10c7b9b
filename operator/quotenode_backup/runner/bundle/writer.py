"""Puts a bundle together while its parts arrive, and adds the manifest and the checksums."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Protocol, Self

from quotenode_backup.contract.manifest import BundleManifest
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.tables import table_list
from quotenode_backup.domain import bundle as shape
from quotenode_backup.runner.bundle.manifest import KnownOfDatabase, describe
from quotenode_backup.runner.bundle.members import Part, Segment, append_file, end_of_archive
from quotenode_backup.runner.files.account import Account
from quotenode_backup.runner.process.gzip_blocks import write_all

_ASIDE = {shape.INDEX: ".index", shape.DUMP: ".dump"}
"""The suffixes of the files that members are written to if they do not go straight into the bundle, in the order in which they are appended to it."""
ASIDES = tuple(_ASIDE.values())


class PartialFiles(Protocol):
    """The files of an attempt that has no bundle yet. A suffix tells them apart."""

    def create(self, suffix: str = "") -> int:
        """A descriptor of a new file, for reading and writing."""

    def remove(self, suffix: str = "") -> None: ...


class PartialBundle:
    """A bundle that has only a partial name yet.

    The archive of the files is written straight into it. The dump, which is usually smaller, and the index of the files are written to files of their
    own at the same time, and appended afterwards. What describes them is added last, since the number of rows is only known when the dump was read
    back.
    """

    def __init__(self, partial_files: PartialFiles, plan: BackupPlan) -> None:
        self._partial_files, self._plan = partial_files, plan
        self._mtime = int(plan.started.timestamp())
        self._open_files = ExitStack()
        self._bundle = self._create("")
        self._aside = {name: self._create(suffix) for name, suffix in _ASIDE.items()} if plan.files else {}
        self._segments: dict[str, Segment] = {}
        self._closed: dict[str, Part] = {}
        self.parts: list[Part] = []
        """The members, in the order in which they are in the bundle. Empty before `join`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open_files.close()

    def _create(self, suffix: str) -> int:
        descriptor = self._partial_files.create(suffix)
        self._open_files.callback(os.close, descriptor)
        return descriptor

    def open(self, name: str) -> Segment:
        """Begins the member for the files, for their index or for the dump."""
        self._segments[name] = Segment(self._aside.get(name, self._bundle), name, self._mtime)
        return self._segments[name]

    def close(self, name: str) -> None:
        """Ends a member whose content has been written."""
        self._closed[name] = self._segments[name].close()

    def join(self) -> None:
        """Once all content was written. When this returns, it is on the disk, and in `parts`: all but what `finish` adds."""
        for name, descriptor in self._aside.items():
            append_file(self._bundle, descriptor)
            self._partial_files.remove(_ASIDE[name])
        self.parts += [self._closed[name] for name in (shape.FILES, *_ASIDE) if name in self._closed]
        os.fsync(self._bundle)

    def finish(
        self, account: Account, versions: Mapping[str, Any], system_identifier: int, known: KnownOfDatabase
    ) -> BundleManifest:
        """Gives the manifest. When this returns, the whole bundle is on the disk."""
        if known.tables is not None:
            self._add_small(shape.TABLES, table_list(known.tables))
        parts = {part.name: part for part in self.parts}
        manifest = describe(self._plan, parts, account, versions, system_identifier, known)
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
