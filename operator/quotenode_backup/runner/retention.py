"""After a bundle was committed, older ones of the same database go. The lock is held all the while, so no other run commits.

Nothing here may fail a run, so whatever goes wrong becomes a sentence; and on any doubt nothing is removed.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from quotenode_backup.contract import Plan, RetentionOutcome
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.errors import RunFailed
from quotenode_backup.domain.retention import REMOVED_PREFIX, Choice, Kept, choose, mark
from quotenode_backup.runner import interruption
from quotenode_backup.runner.destination import Folder, Record
from quotenode_backup.runner.manifest import target
from quotenode_backup.runner.segments import CHUNK
from quotenode_backup.runner.shelf import Shelf, opened, tombstone_name
from quotenode_backup.runner.supervision import supervise
from quotenode_backup.runner.wording import sentence, shown

log = logging.getLogger(__name__)

RECHECK_SECONDS = 30.0
REMOVAL_SECONDS = 10.0
"""After that."""
PROBLEM_LIMIT = 240
MOST_SURVIVORS = 400
"""More marks do not fit into a result."""


class Doubt(Exception):
    """Why nothing is removed."""


def apply(folder: Folder, plan: Plan, keep_last: int, own: str, check_lock: Callable[[], None]) -> RetentionOutcome:
    """`own` is the bundle that was stored just now.

    A disk that hangs is waited for only so long: the work is done by a thread that may be left behind.
    """
    pruning = Pruning(folder.path, plan, keep_last, own, check_lock)
    try:
        [outcome] = supervise([pruning.run], kill=pruning.stop, watch=pruning.watch)
    except Exception as error:  # noqa: BLE001 - the bundle is stored, whatever else happens
        problem = f"Looking after older bundles came to no end ({type(error).__name__}: {error})."
        outcome = RetentionOutcome(pruned=pruning.pruned, problem=sentence(problem, PROBLEM_LIMIT))
    if outcome.problem:
        log.warning("Retention: %s", outcome.problem)
    log.info("Retention: %d older bundles removed", outcome.pruned)
    return outcome


def finish_begun(folder: Folder, plan: Plan, system_identifier: int) -> None:
    """A bundle that a dead attempt condemned is no backup any more, and takes room that the next one may need.

    What can't go now is told by `apply`, after a success.
    """
    own = {"namespace": plan.namespace, "target": target(plan, system_identifier)}
    with suppress(OSError), opened(folder.path) as shelf:
        for name in sorted(shelf.names()):
            bundle = name.removeprefix(REMOVED_PREFIX).removesuffix(shape.COMMIT_RECORD_SUFFIX)
            record = shelf.record(name, bundle) if name == tombstone_name(bundle) else None
            if record and _are_of_one_target(own, record):
                shelf.finish(bundle)


def clause(outcome: RetentionOutcome | None) -> str:
    """What the sentence about the bundle says of the older ones."""
    if outcome is None or not (outcome.pruned or outcome.problem):
        return ""
    removed = f" {outcome.pruned} older {'bundle was' if outcome.pruned == 1 else 'bundles were'} removed."
    return (removed if outcome.pruned else "") + (f" Retention: {outcome.problem}" if outcome.problem else "")


def _nothing(problem: str) -> RetentionOutcome:
    return RetentionOutcome(problem=sentence(problem, PROBLEM_LIMIT))


@dataclass(frozen=True, slots=True)
class Inventory:
    """What lies in the folder, by the name of each bundle."""

    records: dict[str, Record]
    """Of this very target."""
    others: dict[str, Record]
    """Of another target, which is strange here."""
    tombstones: dict[str, Record]
    """What is left of bundles whose removal was begun."""
    unreadable: list[str]
    """Names of what ends as a commit record does, and is none."""


class Pruning:
    def __init__(self, path: Path, plan: Plan, keep_last: int, own: str, check_lock: Callable[[], None]) -> None:
        self._path, self._plan, self._keep_last = path, plan, keep_last
        self._own, self._check_lock = own, check_lock
        left = (plan.deadline - datetime.now(UTC)) / timedelta(seconds=1)
        self._reading_ends = time.monotonic() + max(0.0, min(RECHECK_SECONDS, left))
        self._stopped = threading.Event()
        self.pruned = 0

    def stop(self) -> None:
        self._stopped.set()

    def watch(self) -> None:
        if time.monotonic() > self._reading_ends + 2 * REMOVAL_SECONDS:
            raise TimeoutError("the claim does not answer in time")

    def run(self) -> RetentionOutcome:
        try:
            with opened(self._path) as shelf:
                return self._prune(shelf)
        except Doubt as doubt:
            return _nothing(f"No older bundle was removed: {doubt}.")
        except OSError as error:
            return _nothing(f"No older bundle was removed, since the folder cannot be read: {error.strerror}.")

    def _prune(self, shelf: Shelf) -> RetentionOutcome:
        inventory = self._trusted(shelf)
        problems = []
        try:
            self._finish(shelf, inventory)
            choice = self._choose(shelf, inventory)
            problems = list(_oddities(inventory, choice))
            self._remove(shelf, choice)
        except RunFailed as failure:
            problems.insert(0, f"Not every older bundle was removed: {failure.message}")
        except OSError as error:
            problems.insert(0, f"Not every older bundle was removed: {_words(error)}.")
        return RetentionOutcome(
            survivors=_survivors(shelf, inventory),
            pruned=self.pruned,
            problem=sentence(" ".join(problems), PROBLEM_LIMIT) or None,
        )

    def _trusted(self, shelf: Shelf) -> Inventory:
        """Two looks at the folder must agree, and both hold the bundle that was stored just now."""
        names = shelf.names()
        if names != shelf.names():
            raise Doubt("two listings of the folder in a row differ")
        try:
            return self._inventory(shelf, sorted(names))
        except OSError as error:
            raise Doubt(f"a commit record cannot be read: {_words(error)}") from error

    def _inventory(self, shelf: Shelf, names: list[str]) -> Inventory:
        own = shelf.record(shape.record_name(self._own), self._own)
        if not own or own["runUid"] != self._plan.run_uid or shape.record_name(self._own) not in names:
            raise Doubt("the listing of the folder lacks the bundle of this run")
        found = Inventory({}, {}, {}, [])
        for name in names:
            bundle = name.removesuffix(shape.COMMIT_RECORD_SUFFIX)
            if bundle == name or name.startswith(shape.PARTIAL_PREFIX):
                continue
            bundle = bundle.removeprefix(REMOVED_PREFIX)
            record = shelf.record(name, bundle)
            if not record or not _completed(record):
                found.unreadable.append(name)
            elif not _are_of_one_target(own, record):
                found.others[bundle] = record
            elif name.startswith(REMOVED_PREFIX):
                found.tombstones[bundle] = record
            else:
                found.records[bundle] = record
        return found

    def _choose(self, shelf: Shelf, inventory: Inventory) -> Choice:
        kept = list(self._kept(shelf, inventory))
        return choose(kept, self._keep_last, lambda one: self._is_good(shelf, inventory, one))

    def _kept(self, shelf: Shelf, inventory: Inventory) -> Iterator[Kept]:
        for name, record in inventory.records.items():
            completed = _completed(record)
            assert completed, "an inventory holds no record without a time"
            pinned = shelf.is_pinned(name)
            yield Kept(name, completed, holds=_holds(record), is_own=name == self._own, is_pinned=pinned)

    def _is_good(self, shelf: Shelf, inventory: Inventory, kept: Kept) -> bool:
        recorded = inventory.records[kept.name]["bundle"]
        if shelf.size(kept.name) != recorded["sizeBytes"]:
            return False
        try:
            sha256 = self._read_again(shelf, kept.name)
        except OSError as error:
            log.warning("Bundle %s cannot be read: %s", shown(kept.name), error.strerror)
            return False
        if sha256 is None:
            log.warning("Bundle %s has the right size, and there was no time to read it again", shown(kept.name))
        return sha256 is None or bool(sha256 == recorded["sha256"])

    def _read_again(self, shelf: Shelf, name: str) -> str | None:
        """None when there is no time for it. What the disk holds, not what memory does."""
        whole, buffer = hashlib.sha256(), memoryview(bytearray(CHUNK))
        with os.fdopen(shelf.open(name), "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while not self._is_over(self._reading_ends):
                if not (count := file.readinto(buffer)):
                    return whole.hexdigest()
                whole.update(buffer[:count])
        return None

    def _is_over(self, end: float) -> bool:
        return self._stopped.is_set() or interruption.is_noted() or time.monotonic() >= end

    def _finish(self, shelf: Shelf, inventory: Inventory) -> None:
        """What a dead attempt began."""
        for name in inventory.tombstones:
            self._go_on()
            shelf.finish(name)
            self._count_if_gone(shelf, name)

    def _remove(self, shelf: Shelf, choice: Choice) -> None:
        for kept in choice.remove:
            self._go_on()
            if not shelf.is_pinned(kept.name):
                log.info("Removing bundle %s", shown(kept.name))
                shelf.remove(kept.name)
                self._count_if_gone(shelf, kept.name)

    def _go_on(self) -> None:
        if self._is_over(self._reading_ends + REMOVAL_SECONDS):
            raise TimeoutError(None, "the run had to end, and the next one goes on with it")
        self._check_lock()

    def _count_if_gone(self, shelf: Shelf, name: str) -> None:
        self.pruned += not shelf.has(name)


def _are_of_one_target(own: Record, other: Record) -> bool:
    return all(own[field] == other.get(field) for field in ("namespace", "target"))


def _holds(record: Record) -> frozenset[str]:
    """Raises when nobody can tell, like anything else that is odd about a record: then nothing is removed."""
    return frozenset(source["name"] for source in record["files"]["sources"]) if "files" in record else frozenset()


def _completed(record: Record) -> datetime | None:
    try:
        moment = datetime.fromisoformat(record["completed"])
        return moment if moment.tzinfo else None
    except (ValueError, KeyError, TypeError):
        return None


def _oddities(inventory: Inventory, choice: Choice) -> Iterator[str]:
    if choice.bad:
        which = _named([kept.name for kept in choice.bad])
        yield f"{which}: no longer the bundle that was stored (missing, changed or unreadable), so an older one stays in its stead."
    if inventory.unreadable:
        yield f"{_named(inventory.unreadable)}: not a commit record, left as it is."
    if choice.of_the_future:
        which = _named([kept.name for kept in choice.of_the_future])
        yield f"{which}: dated in the future, neither counted nor removed."
    if inventory.others:
        yield f"{_named(list(inventory.others))}: of another database, server or namespace, left as it is."


def _named(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{shown(names[0], 60)}{more}"


def _survivors(shelf: Shelf, inventory: Inventory) -> str | None:
    """Read from the disk once more. None as well when a bundle lies there whose run nobody can tell."""
    known = inventory.tombstones | inventory.others | inventory.records
    try:
        if any(shelf.size(name.removesuffix(shape.COMMIT_RECORD_SUFFIX)) is not None for name in inventory.unreadable):
            return None
        names = shelf.names()
        there = [name for name in known if shape.record_name(name) in names and shelf.size(name) is not None]
    except OSError:
        return None
    return "".join(mark(known[name]["runUid"]) for name in there) if len(there) <= MOST_SURVIVORS else None


def _words(error: OSError) -> str:
    return f"{error.strerror} ({shown(str(error.filename), 80)})" if error.filename else str(error.strerror)
