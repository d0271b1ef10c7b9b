"""How a bundle is removed, so that a runner that dies in between leaves nothing behind that is not true.

First the commit record is renamed, which marks the bundle for removal: from then on there is no backup of that name. Then the bundle and its
checksum file are unlinked, and last the renamed record, which tells the next runner until then what is left to do, and of which run the bundle is.
"""

import stat
from contextlib import suppress
from dataclasses import dataclass

from quotenode_backup.contract.manifest import CommitRecord
from quotenode_backup.domain import bundle as shape
from quotenode_backup.runner.store.folder import BundleFolder, not_a_file


@dataclass(frozen=True, slots=True)
class Removal:
    folder: BundleFolder
    includes_links: bool = False
    """Whether a link under one of the bundle's own names goes with it. It is never followed."""

    def remove(self, bundle: str) -> None:
        self._require_ours(bundle)
        self.mark_for_removal(bundle)
        self.finish(bundle)

    def mark_unfinished_for_removal(self, partial_record: str, record: CommitRecord) -> None:
        """Marks a bundle for removal whose attempt died after the bundle got its name and before its record did.

        Without its name there is no bundle.
        """
        bundle, partial = record.bundle.name, partial_record.removesuffix(shape.COMMIT_RECORD_SUFFIX)
        if self.folder.has(shape.record_name(bundle)) or not self.folder.has_final_name(partial, record):
            return
        with suppress(FileNotFoundError):  # then the next backup was faster, and has finished the commit
            self.folder.rename(partial_record, shape.tombstone_name(bundle))
        self.folder.unlink_file(partial)
        self.folder.sync()

    def finish(self, bundle: str) -> None:
        """Does what is left to do for a bundle that is marked for removal.

        A bundle that cannot be unlinked, or that was pinned in the meantime, gets its record back. If there is a commit record under the
        bundle's name already, a newer bundle has taken that name, and only the renamed record of the old one is left.
        """
        if not self.folder.has(shape.tombstone_name(bundle)):
            return
        if not self.folder.has(shape.record_name(bundle)):
            if self.folder.is_pinned(bundle) and self.folder.size(bundle) is not None:
                self._restore_record(bundle)
                return
            self._unlink(bundle)
        self.folder.unlink(shape.tombstone_name(bundle))
        self.folder.sync()

    def mark_for_removal(self, bundle: str) -> None:
        with suppress(FileNotFoundError):
            self.folder.rename(shape.record_name(bundle), shape.tombstone_name(bundle))
        self.folder.sync()

    def _restore_record(self, bundle: str) -> None:
        with suppress(FileNotFoundError):
            self.folder.rename(shape.tombstone_name(bundle), shape.record_name(bundle))
        self.folder.sync()

    def _unlink(self, bundle: str) -> None:
        try:
            self._require_ours(bundle)
            self.folder.unlink(bundle)
        except OSError:
            self._restore_record(bundle)
            raise
        if self._is_ours(checksum := f"{bundle}{shape.CHECKSUM_SUFFIX}"):
            self.folder.unlink(checksum)
        self.folder.sync()

    def _require_ours(self, bundle: str) -> None:
        if not self._is_ours(bundle):
            raise not_a_file(bundle)

    def _is_ours(self, name: str) -> bool:
        """Whether the entry of this name, if there is one, is of a kind that we create."""
        status = self.folder.status(name)
        is_link = status is not None and stat.S_ISLNK(status.st_mode)
        return status is None or stat.S_ISREG(status.st_mode) or (is_link and self.includes_links)
