"""What is in the folder of one database's bundles. Each entry is judged by itself, so that none can hide the others."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from quotenode_backup.contract.manifest import CommitRecord, NewerFormat
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.retention import PIN_SUFFIX, BundleEntry, fingerprint
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.store.folder import BundleFolder

log = logging.getLogger(__name__)

MOST_SURVIVORS = 400
"""More fingerprints do not fit into a result."""
_OUR_SUFFIXES = (shape.SUFFIX, shape.CHECKSUM_SUFFIX)


class ListingUnreliable(Exception):
    """Says why the listing of the folder cannot be relied on, so that nothing may be removed."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Commit records by the names of their bundles, and the names of entries that have no commit record."""

    records: dict[str, CommitRecord] = field(default_factory=dict)
    """Of this database."""
    foreign: dict[str, CommitRecord] = field(default_factory=dict)
    """Of another database, server or namespace, none of which has its bundles in this folder."""
    tombstones: dict[str, CommitRecord] = field(default_factory=dict)
    """Of bundles that are marked for removal."""
    not_records: list[str] = field(default_factory=list)
    """Files that have the name of a commit record, but not the content."""
    unreadable: list[str] = field(default_factory=list)
    """Commit records that cannot be read."""
    newer: dict[str, NewerFormat] = field(default_factory=dict)
    """Of a format that only a later release can read."""
    without_record: list[str] = field(default_factory=list)
    """Bundles that have had no commit record for longer than a run can take."""
    not_files: list[str] = field(default_factory=list)
    """Entries that have one of our names, but are not regular files."""

    def entries(self, folder: BundleFolder, own: str) -> Iterator[BundleEntry]:
        """What retention chooses from. `own`: the bundle that this run has stored."""
        for name, record in self.records.items():
            yield BundleEntry(
                name,
                record.completed,
                holds=record.holds,
                is_own=name == own,
                is_pinned=folder.is_pinned(name),
                dump=record.database.size_bytes,
                files=record.files.size_bytes if record.files else 0,
            )

    def survivors(self, folder: BundleFolder) -> str | None:
        """The fingerprints of all runs that have a bundle in the folder now. None if they cannot all be known, or are too many."""
        known: dict[str, CommitRecord | NewerFormat] = {**self.newer, **self.tombstones, **self.foreign, **self.records}
        unknown = [
            *self.not_records,
            *self.unreadable,
            *(name for name, record in self.newer.items() if not record.run_uid),
        ]
        try:
            if any(folder.size(shape.bundle_of(name)) is not None for name in unknown):
                return None
            names = folder.names()
            there = [name for name in known if shape.record_name(name) in names and folder.size(name) is not None]
        except OSError:
            return None
        return "".join(fingerprint(known[name].run_uid) for name in there) if len(there) <= MOST_SURVIVORS else None

    def oddities(self) -> Iterator[str]:
        """A sentence for each kind of entry that is left as it is."""
        if self.unreadable:
            yield f"{summarized(self.unreadable)}: cannot be read, left as it is with its bundle."
        if self.newer:
            yield f"{summarized(list(self.newer))}: of a later release of this operator, left as it is."
        if self.not_records:
            yield f"{summarized(self.not_records)}: not a commit record, left as it is."
        if self.without_record:
            yield f"{summarized(self.without_record)}: has no commit record, left as it is."
        if self.not_files:
            yield f"{summarized(self.not_files)}: not a regular file, left as it is."
        if self.foreign:
            yield f"{summarized(list(self.foreign))}: of another database, server or namespace, left as it is."


def take_inventory(folder: BundleFolder, plan: BackupPlan, own: str) -> Inventory:
    """Raises ListingUnreliable unless two listings of the folder agree and contain the bundle that this run has stored."""
    names = folder.names()
    if names != folder.names():
        raise ListingUnreliable("two consecutive listings of the folder differ")
    record = folder.record(shape.record_name(own), own)
    if not isinstance(record, CommitRecord) or record.run_uid != plan.run_uid or shape.record_name(own) not in names:
        raise ListingUnreliable("the listing of the folder lacks the bundle of this run")
    found = Inventory()
    for name in sorted(names):
        try:
            _add(found, folder, record, name)
        except OSError as error:
            log.warning("%s cannot be read: %s", escape(name), error.strerror)
            found.unreadable.append(name)
    return found


def _add(found: Inventory, folder: BundleFolder, own: CommitRecord, name: str) -> None:
    is_record = name.endswith(shape.COMMIT_RECORD_SUFFIX) and not name.startswith(shape.PARTIAL_PREFIX)
    if is_record:
        _add_record(found, folder, own, name)
    elif _is_like_ours(name) and folder.size(name) is None and folder.has(name):
        found.not_files.append(name)
    elif name.startswith(shape.PREFIX) and name.endswith(shape.SUFFIX) and _has_lost_its_record(folder, name):
        found.without_record.append(name)


def _has_lost_its_record(folder: BundleFolder, bundle: str) -> bool:
    """A bundle may also get its record in the next moment, or be about to be removed."""
    records = (shape.record_name(bundle), shape.tombstone_name(bundle))
    return folder.is_ancient(bundle) and not any(folder.has(name) for name in records)


def _add_record(found: Inventory, folder: BundleFolder, own: CommitRecord, name: str) -> None:
    bundle = shape.bundle_of(name)
    record = folder.record(name, bundle)
    if record is None:
        found.not_records.append(name)
    elif isinstance(record, NewerFormat):
        found.newer[bundle] = record
    elif not record.is_of(own.namespace, own.target):
        found.foreign[bundle] = record
    elif name.startswith(shape.REMOVED_PREFIX):
        found.tombstones[bundle] = record
    else:
        found.records[bundle] = record


def _is_like_ours(name: str) -> bool:
    """Whether the name is one that we give to files. Pins are created by people, and may be anything."""
    is_hidden = name.startswith((shape.PARTIAL_PREFIX, shape.REMOVED_PREFIX))
    return (is_hidden or name.endswith(_OUR_SUFFIXES)) and not name.endswith(PIN_SUFFIX)


def summarized(names: list[str]) -> str:
    """The first name, and how many more there are."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{escape(names[0], 60)}{more}"
