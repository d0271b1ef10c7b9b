"""Putting a bundle together on the destination: parts as they arrive, then what describes them, then one look at all of it."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Self

from quotenode_backup.contract.manifest import BundleManifest
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.domain import bundle as shape
from quotenode_backup.runner.bundle.manifest import describe
from quotenode_backup.runner.bundle.members import Part, Segment, append_file, end_of_archive, write_all
from quotenode_backup.runner.store.destination import Folder


class PartialBundle:
    """A bundle under its partial name. The files go straight into it, the dump, usually smaller, beside it and then in."""

    def __init__(self, folder: Folder, plan: BackupPlan) -> None:
        self._folder, self._plan = folder, plan
        self._mtime = int(plan.started.timestamp())
        self._open_files = ExitStack()
        self._bundle = self._open("")
        self._aside = self._open(".dump") if plan.files else None
        self.parts: list[Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open_files.close()

    def _open(self, suffix: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(self._folder.partial(suffix), flags, 0o640)
        self._open_files.callback(os.close, descriptor)
        return descriptor

    def files_segment(self) -> Segment:
        return Segment(self._bundle, shape.FILES, self._mtime)

    def dump_segment(self) -> Segment:
        return Segment(self._bundle if self._aside is None else self._aside, shape.DUMP, self._mtime)

    def finish(
        self,
        parts: Mapping[str, Part],
        account: Mapping[str, Any],
        versions: Mapping[str, Any],
        system_identifier: int,
    ) -> BundleManifest:
        """The manifest. All that is written is on the disk when this returns."""
        if self._aside is not None:
            append_file(self._bundle, self._aside)
            self._folder.partial(".dump").unlink()
        self.parts = [parts[name] for name in (shape.FILES, shape.DUMP) if name in parts]
        manifest = describe(self._plan, parts, account, versions, system_identifier)
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
