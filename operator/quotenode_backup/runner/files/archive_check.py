"""What an archive may hold, checked entry by entry, before any of it is written and again while it is."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from zlib import error as ZlibError

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_files import FOLDER_PREFIX
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.files.tar_header import Kind, NotAnArchive
from quotenode_backup.runner.files.tar_reader import Entry, shown

WHOLE = "."
"""The name of a source that is the whole archive, and not a folder in it."""
_LONGEST_NAME = 255
_OWN = os.fsencode(FOLDER_PREFIX)


@dataclass(slots=True)
class Tally:
    """Counted as the manifest of a bundle counts: hard links are files, and the folders of the sources themselves do not count."""

    files: int = 0
    folders: int = 0
    links: int = 0
    bytes: int = 0

    def count(self, entry: Entry) -> None:
        if entry.kind is Kind.FOLDER:
            self.folders += 1
        elif entry.kind is Kind.LINK:
            self.links += 1
        else:
            self.files += 1
            self.bytes += entry.size

    def exceeds(self, most: "Tally") -> bool:
        return (
            self.files > most.files or self.folders > most.folders or self.links > most.links or self.bytes > most.bytes
        )

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.files + other.files,
            self.folders + other.folders,
            self.links + other.links,
            self.bytes + other.bytes,
        )

    def __str__(self) -> str:
        return f"{self.files} files, {self.folders} folders, {self.links} links, {readable_size(self.bytes)}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry belongs."""

    source: str
    parts: tuple[bytes, ...]
    first: "Place | None" = None
    """Of a hard link: the file that it is another name of."""


class Checker:
    """Refuses an entry by its name, with NotAnArchive.

    Of each entry that was seen only a hash is kept, 64 bits that others cannot predict: so a million entries take some 100 MB, whatever their names
    are.
    """

    def __init__(self, sources: Collection[str], most: Tally) -> None:
        self._sources = {os.fsencode(source): source for source in sources}
        self._is_whole = WHOLE in sources
        self._most = most
        self.tallies = {source: Tally() for source in sources}
        self._total = Tally()
        self._files: set[int] = set()
        self._links: set[int] = set()
        self._folders: set[int] = set()
        self._implied: set[int] = set()
        self._above: tuple[bytes, ...] = ()
        self.left_out = 0
        """Entries of the folders of other restores. They were never the application's."""

    def place(self, entry: Entry) -> Place | None:
        """None if the entry is to be left out."""
        parts = entry.parts if self._is_whole else entry.parts[1:]
        if entry.parts and len(entry.parts[-1]) > _LONGEST_NAME:
            raise _refused(entry, "its name is too long")
        source = self._source_of(entry)
        if not parts:
            self._require_root(entry)
            return None if source is None else self._root(entry, source)
        assert source is not None
        if parts[0].startswith(_OWN):
            self.left_out += 1
            return None
        self._require_folder_above(entry)
        self._require_new(entry)
        self._count(entry, source)
        return Place(source, parts, self._place_of(entry.target_parts) if entry.kind is Kind.HARD_LINK else None)

    def _source_of(self, entry: Entry) -> str | None:
        """None for the root of an archive whose sources are folders in it."""
        if self._is_whole:
            return WHOLE
        if not entry.parts:
            return None
        source = self._sources.get(entry.parts[0])
        if source is None:
            raise _refused(entry, "it belongs to none of the volumes in the backup")
        return source

    def _place_of(self, parts: tuple[bytes, ...]) -> Place:
        return Place(WHOLE, parts) if self._is_whole else Place(self._sources[parts[0]], parts[1:])

    def _require_root(self, entry: Entry) -> None:
        if entry.kind is not Kind.FOLDER:
            raise _refused(entry, "it is not a folder, and stands in the place of a volume")

    def _root(self, entry: Entry, source: str) -> Place:
        self._require_new(entry)
        return Place(source, ())

    def _require_new(self, entry: Entry) -> None:
        key = hash(entry.parts)
        if key in self._folders or key in self._files or key in self._links:
            raise _refused(entry, "it is in it twice")
        if entry.kind is Kind.FOLDER:
            self._implied.discard(key)
            self._folders.add(key)
            return
        if key in self._implied:
            raise _refused(entry, "it is a folder and a file at once")
        if entry.kind is Kind.HARD_LINK and hash(entry.target_parts) not in self._files:
            raise _refused(entry, "it is another name of a file that does not come before it")
        (self._links if entry.kind is Kind.LINK else self._files).add(key)

    def _require_folder_above(self, entry: Entry) -> None:
        """Folders that have no entry of their own, or a later one, are implied."""
        above = entry.parts[:-1]
        if above == self._above:
            return
        for depth in range(len(above), 0, -1):
            key = hash(above[:depth])
            if key in self._files or key in self._links:
                raise _refused(entry, f"it stands below {shown(above[:depth])}, which is not a folder")
            if key in self._folders or key in self._implied:
                break
            if len(above[depth - 1]) > _LONGEST_NAME:
                raise _refused(entry, "its name is too long")
            self._implied.add(key)
        self._above = above

    def _count(self, entry: Entry, source: str) -> None:
        self.tallies[source].count(entry)
        self._total.count(entry)
        if self._total.exceeds(self._most):
            raise _refused(entry, f"with it there is more in it than the {self._most} of the backup")


def _refused(entry: Entry, why: str) -> NotAnArchive:
    return NotAnArchive(f"{why} ({entry.path})")


def require_tally(found: Tally, expected: Tally) -> None:
    """After the last entry: that an archive ends well does not say that all of it is there."""
    if found != expected:
        raise RunFailed(
            Reason.ARCHIVE_INVALID,
            f"The archive of the files holds {found}, and the backup had {expected}: nothing was changed. Restore another backup.",
        )


@contextmanager
def refusing() -> Iterator[None]:
    """Says in a sentence why an archive is refused."""
    try:
        yield
    except (NotAnArchive, EOFError, ZlibError) as error:
        raise RunFailed(
            Reason.ARCHIVE_INVALID,
            f"The archive of the files is refused: {error}. No file of the application was changed. It is damaged, or no backup wrote it: "
            "restore another backup.",
        ) from error
