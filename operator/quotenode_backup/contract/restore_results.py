"""What the Jobs of a restore tell the operator."""

from datetime import datetime
from typing import Self

from quotenode_backup.contract.restore_plans import SwapSide
from quotenode_backup.contract.results import Outcome, Reported, Result, cut

MOST_NOTES = 4


class BundleFacts(Reported):
    """What is in a bundle, as far as it is known. For people."""

    sha256: str
    """Of the file that was read."""
    backup_time: datetime | None = None
    tables: int | None = None
    entries: int | None = None
    """Files, folders and links."""
    files_bytes: int | None = None
    backup_server_version: str | None = None
    live_server_version: str | None = None


class VerifyResult(Result):
    facts: BundleFacts | None = None
    """Absent if the bundle was refused."""
    notes: tuple[str, ...] = ()
    """What to know before the restore."""

    @property
    def lack(self) -> str:
        return "" if self.facts else "named no bundle"

    def shortened(self, limit: int) -> Self:
        notes = tuple(cut(note, limit) or "" for note in self.notes[:MOST_NOTES])
        return self.model_copy(update={"message": cut(self.message, limit), "notes": notes})

    def without_lists(self) -> Self:
        return self.model_copy(update={"notes": ()})


class LoadedDatabase(Reported):
    tables: int
    rows: int
    is_compared: bool = False
    """Whether it was known how many rows there must be."""


class LoadedFiles(Reported):
    entries: int
    """As many as the manifest says: an archive with another number is refused."""


class LoadResult(Result):
    seconds: float = 0.0
    bundle_sha256: str = ""
    """Of what was loaded. Empty if the attempt failed."""
    database: LoadedDatabase | None = None
    files: LoadedFiles | None = None

    @property
    def lack(self) -> str:
        return "" if self.bundle_sha256 else "named no bundle"


class SwapResult(Result):
    """`side` also tells what is live after an attempt that failed."""

    side: SwapSide = SwapSide.UNKNOWN
    """A result that does not say so, as of a runner that could not read its plan, decides nothing."""
    seconds: float = 0.0
    """From the rename of the database to the end of the swap."""
    kept_database: str | None = None
    late: int = 0
    """Entries that somebody wrote during the swap, under names that it needed."""
    note: str | None = None
    """About the rows of backup_logs."""

    @property
    def lack(self) -> str:
        return "" if self.side is SwapSide.NEW else "did not name the new side"

    @property
    def is_undecided(self) -> bool:
        return self.outcome is Outcome.FAILED and self.side is SwapSide.UNKNOWN

    def shortened(self, limit: int) -> Self:
        return self.model_copy(update={"message": cut(self.message, limit), "note": cut(self.note, limit)})


class ExpiryResult(Result):
    removed: int = 0
    """Databases and folders that were removed."""
