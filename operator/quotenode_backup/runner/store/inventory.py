"""What lies in the folder of one database's bundles, each entry judged by itself: whatever one of them is, the others are seen."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from quotenode_backup.contract.manifest import CommitRecord, NewerFormat
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.retention import PIN_SUFFIX, REMOVED_PREFIX, BundleEntry, fingerprint
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.store.folder import BundleFolder

log = logging.getLogger(__name__)

MOST_SURVIVORS = 400
"""More fingerprints do not fit into a result."""
_OUR_SUFFIXES = (shape.SUFFIX, shape.CHECKSUM_SUFFIX)


class Doubt(Exception):
    """Why nothing is removed."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """By the name of each bundle, or, where there is only that, by the name of the entry."""

    records: dict[str, CommitRecord] = field(default_factory=dict)
    """Of this very target."""
    others: dict[str, CommitRecord] = field(default_factory=dict)
    """Of another target, which is strange here."""
    tombstones: dict[str, CommitRecord] = field(default_factory=dict)
    """What is left of bundles whose removal was begun."""
    no_records: list[str] = field(default_factory=list)
    """Ends as a commit record does, and is none."""
    unreadable: list[str] = field(default_factory=list)
    """A commit record that cannot be read."""
    newer: dict[str, NewerFormat] = field(default_factory=dict)
    """Of a later release's format."""
    no_files: list[str] = field(default_factory=list)
    """Has a name of ours, and is a folder, a link or something stranger."""

    def entries(self, folder: BundleFolder, own: str) -> Iterator[BundleEntry]:
        """What retention chooses from. `own` is the bundle that was stored just now."""
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
        """Read from the disk once more. None as well when a bundle lies there whose run nobody can tell."""
        known: dict[str, CommitRecord | NewerFormat] = {**self.newer, **self.tombstones, **self.others, **self.records}
        unknown = [
            *self.no_records,
            *self.unreadable,
            *(name for name, record in self.newer.items() if not record.run_uid),
        ]
        try:
            if any(folder.size(_bundle_of(name)) is not None for name in unknown):
                return None
            names = folder.names()
            there = [name for name in known if shape.record_name(name) in names and folder.size(name) is not None]
        except OSError:
            return None
        return "".join(fingerprint(known[name].run_uid) for name in there) if len(there) <= MOST_SURVIVORS else None

    def oddities(self) -> Iterator[str]:
        """A sentence for each kind of thing that is left as it is."""
        if self.unreadable:
            yield f"{named(self.unreadable)}: cannot be read, left as it is with its bundle."
        if self.newer:
            yield f"{named(list(self.newer))}: of a later release of this operator, left as it is."
        if self.no_records:
            yield f"{named(self.no_records)}: not a commit record, left as it is."
        if self.no_files:
            yield f"{named(self.no_files)}: not a regular file, left as it is."
        if self.others:
            yield f"{named(list(self.others))}: of another database, server or namespace, left as it is."


def trusted(folder: BundleFolder, plan: BackupPlan, own: str) -> Inventory:
    """Two looks at the folder must agree, and both hold the bundle that was stored just now."""
    names = folder.names()
    if names != folder.names():
        raise Doubt("two listings of the folder in a row differ")
    record = folder.record(shape.record_name(own), own)
    if not isinstance(record, CommitRecord) or record.run_uid != plan.run_uid or shape.record_name(own) not in names:
        raise Doubt("the listing of the folder lacks the bundle of this run")
    found = Inventory()
    for name in sorted(names):
        try:
            _enter(found, folder, record, name)
        except OSError as error:
            log.warning("%s cannot be read: %s", escape(name), error.strerror)
            found.unreadable.append(name)
    return found


def _enter(found: Inventory, folder: BundleFolder, own: CommitRecord, name: str) -> None:
    is_record = name.endswith(shape.COMMIT_RECORD_SUFFIX) and not name.startswith(shape.PARTIAL_PREFIX)
    if is_record:
        _enter_record(found, folder, own, name)
    elif _is_like_ours(name) and folder.size(name) is None and folder.has(name):
        found.no_files.append(name)


def _enter_record(found: Inventory, folder: BundleFolder, own: CommitRecord, name: str) -> None:
    bundle = _bundle_of(name)
    record = folder.record(name, bundle)
    if record is None:
        found.no_records.append(name)
    elif isinstance(record, NewerFormat):
        found.newer[bundle] = record
    elif not record.is_of(own.namespace, own.target):
        found.others[bundle] = record
    elif name.startswith(REMOVED_PREFIX):
        found.tombstones[bundle] = record
    else:
        found.records[bundle] = record


def _is_like_ours(name: str) -> bool:
    """A pin is one whatever it is."""
    is_hidden = name.startswith((shape.PARTIAL_PREFIX, REMOVED_PREFIX))
    return (is_hidden or name.endswith(_OUR_SUFFIXES)) and not name.endswith(PIN_SUFFIX)


def _bundle_of(record_name: str) -> str:
    return record_name.removesuffix(shape.COMMIT_RECORD_SUFFIX).removeprefix(REMOVED_PREFIX)


def named(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{escape(names[0], 60)}{more}"
