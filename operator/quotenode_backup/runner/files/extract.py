"""The archive of the files is read: only to check it, or to write what is in it into empty folders of ours.

Nothing in the archive is trusted. The stream never raises OSError, so that an OSError is always about the disk that is written to.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from quotenode_backup.runner.files.archive_check import Checker, Tally, refusing
from quotenode_backup.runner.files.extraction import Extraction
from quotenode_backup.runner.files.owners import Owners
from quotenode_backup.runner.files.tar_reader import Stream, TarReader

Watch = Callable[[Mapping[str, Tally]], None]
"""Is called after each entry and each mebibyte, and may raise to stop the work."""


@dataclass(frozen=True, slots=True)
class Found:
    tallies: Mapping[str, Tally]
    """By the name of the source."""
    left_out: int
    """Entries of the folders of other restores."""
    owners_not_set: int = 0
    """Entries that had an owner or a group when they were backed up that our user may not give them."""

    @property
    def total(self) -> Tally:
        return sum(self.tallies.values(), Tally())


def _unwatched(_: Mapping[str, Tally]) -> None:
    """For those who need no report."""


def scan(stream: Stream, sources: Collection[str], most: Tally, watch: Watch = _unwatched) -> Found:
    """Reads every entry to the end and writes nothing. `most`: what the manifest says is in it."""
    checker, reader = Checker(sources, most), TarReader(stream)
    with refusing():
        for entry in reader:
            checker.place(entry)
            for _ in _watched(reader, checker, watch):
                pass
    return Found(checker.tallies, checker.left_out)


def extract(
    stream: Stream, sources: Collection[str], targets: Mapping[str, int], most: Tally, watch: Watch = _unwatched
) -> Found:
    """Writes the entries of the sources that are in `targets`, which are descriptors of empty folders, and checks all of them as `scan` does."""
    checker, reader, owners = Checker(sources, most), TarReader(stream), Owners()
    with refusing(), Extraction(targets, owners) as extraction:
        for entry in reader:
            place = checker.place(entry)
            content = _watched(reader, checker, watch)
            if place and place.parts and place.source in targets:
                extraction.add(place, entry, content)
            for _ in content:
                pass
        extraction.finish()
    return Found(checker.tallies, checker.left_out, owners.not_set)


def _watched(reader: TarReader, checker: Checker, watch: Watch) -> Iterator[memoryview]:
    for piece in reader.content():
        yield piece
        watch(checker.tallies)
    watch(checker.tallies)
