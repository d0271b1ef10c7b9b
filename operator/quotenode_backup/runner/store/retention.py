"""Removes older bundles of the same database after a bundle was committed. The database's lock is held all the while, so no other run commits.

Nothing here may fail a run, so whatever goes wrong becomes a sentence. If the folder as a whole cannot be relied on, nothing is removed. If a single
entry is odd, it is reported and left alone.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from quotenode_backup.contract.manifest import CommitRecord
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.results import RetentionOutcome
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.domain.retention import SHRUNKEN, BundleEntry, Choice, choose, fingerprint
from quotenode_backup.runner.bundle.manifest import target
from quotenode_backup.runner.bundle.reader import Reading, Restorer, Stopped
from quotenode_backup.runner.process.display import escape, sentence
from quotenode_backup.runner.process.threads import supervise
from quotenode_backup.runner.store import inventory, pins, stored
from quotenode_backup.runner.store.folder import BundleFolder
from quotenode_backup.runner.store.inventory import Inventory, ListingUnreliable, summarized
from quotenode_backup.runner.store.removal import Removal

log = logging.getLogger(__name__)

RECHECK_SECONDS = 30.0
"""How long bundles are read again."""
REMOVAL_SECONDS = 10.0
"""How long bundles are removed afterwards."""
PROBLEM_LIMIT = 240


@dataclass(frozen=True, slots=True)
class Guard:
    """What can end the retention early."""

    check_lock: Callable[[], None]
    """Raises when the database's lock is lost."""
    is_stop_requested: Callable[[], bool]
    """Whether the pod was told to stop."""


def apply(
    folder: BundleFolder, plan: BackupPlan, keep_last: int, own: str, guard: Guard, restorer: Restorer
) -> RetentionOutcome:
    """`own`: the bundle that this run has stored. `restorer` must be able to read the dumps of every PostgreSQL version that is supported.

    The work is done by a thread, which is left behind when the disk hangs for too long.
    """
    pruning = Pruning(folder, plan, keep_last, own, guard, restorer)
    try:
        [outcome] = supervise([pruning.run], kill=pruning.stop, watch=pruning.watch)
    except Exception as error:  # noqa: BLE001 - the bundle is stored, whatever else happens
        problem = f"Retention of older bundles did not finish ({type(error).__name__}: {error})."
        outcome = RetentionOutcome(
            pruned=pruning.pruned, removed=pruning.removed, problem=sentence(problem, PROBLEM_LIMIT)
        )
    if outcome.problem:
        log.warning("Retention: %s", outcome.problem)
    log.info("Retention: %d older bundles removed", outcome.pruned)
    return outcome


def finish_removals(folder: BundleFolder, plan: BackupPlan, system_identifier: int) -> None:
    """Removes the bundles that a dead attempt has marked for removal: they are backups no longer, and the next bundle may need their room.

    What cannot be removed now is reported by `apply`, after a success.
    """
    with suppress(OSError):
        for bundle in folder.tombstones():
            with suppress(OSError):
                record = folder.record(shape.tombstone_name(bundle), bundle)
                if isinstance(record, CommitRecord) and record.is_of(plan.namespace, target(plan, system_identifier)):
                    Removal(folder).finish(bundle)


def clause(outcome: RetentionOutcome | None) -> str:
    """What the sentence about the new bundle says about the older ones."""
    if outcome is None or not (outcome.pruned or outcome.problem):
        return ""
    removed = f" {outcome.pruned} older {'bundle was' if outcome.pruned == 1 else 'bundles were'} removed."
    return (removed if outcome.pruned else "") + (f" Retention: {outcome.problem}" if outcome.problem else "")


def _nothing_removed(problem: str) -> RetentionOutcome:
    return RetentionOutcome(problem=sentence(problem, PROBLEM_LIMIT))


class Pruning:
    def __init__(
        self,
        folder: BundleFolder,
        plan: BackupPlan,
        keep_last: int,
        own: str,
        guard: Guard,
        restorer: Restorer,
    ) -> None:
        self._folder, self._plan, self._keep_last = folder, plan, keep_last
        self._own, self._guard, self._restorer = own, guard, restorer
        left = (plan.deadline - datetime.now(UTC)) / timedelta(seconds=1)
        self._reading_ends = time.monotonic() + max(0.0, min(RECHECK_SECONDS, left))
        self._stopped = threading.Event()
        self._reading: Reading | None = None
        self._failures: list[str] = []
        self._removed: list[str] = []

    @property
    def pruned(self) -> int:
        """How many bundles were removed."""
        return len(self._removed)

    @property
    def removed(self) -> str | None:
        """The fingerprints of their runs. More than the most that fit into a result are left out."""
        return "".join(map(fingerprint, self._removed[: inventory.MOST_SURVIVORS])) or None

    def stop(self) -> None:
        self._stopped.set()
        if self._reading:
            self._reading.kill()

    def watch(self) -> None:
        if time.monotonic() > self._reading_ends + 2 * REMOVAL_SECONDS:
            raise TimeoutError("the claim does not answer in time")

    def run(self) -> RetentionOutcome:
        try:
            with self._folder.reopened() as folder:
                return self._prune(folder, inventory.take_inventory(folder, self._plan, self._own))
        except ListingUnreliable as reason:
            return _nothing_removed(f"No older bundle was removed: {reason}.")
        except OSError as error:
            return _nothing_removed(f"No older bundle was removed, since the folder cannot be read: {error.strerror}.")

    def _prune(self, folder: BundleFolder, found: Inventory) -> RetentionOutcome:
        choice = Choice()
        try:
            self._go_through(found.tombstones, lambda name: self._finish(folder, found.tombstones[name]))
            choice = choose(
                found.entries(folder, self._own), self._keep_last, lambda one: self._is_good(folder, found, one)
            )
            names = [entry.name for entry in choice.remove]
            self._go_through(names, lambda name: self._remove(folder, found.records[name]))
            pins.remove_expired(folder, datetime.now(UTC))
        except RunFailed as failure:
            self._failures.insert(0, failure.message.removesuffix("."))
        except OSError as error:
            self._failures.insert(0, _description(error))
        problems = " ".join([*self._not_removed(), *_remarks_on(choice), *found.oddities()])
        return RetentionOutcome(
            survivors=found.survivors(folder),
            pruned=self.pruned,
            removed=self.removed,
            problem=sentence(problems, PROBLEM_LIMIT) or None,
        )

    def _go_through(self, names: Iterable[str], action: Callable[[str], None]) -> None:
        """A bundle that cannot be removed does not keep the others from being removed."""
        for name in names:
            self._require_time_and_lock()
            try:
                action(name)
            except OSError as error:
                log.warning("Bundle %s cannot be removed: %s", escape(name), _description(error))
                self._failures.append(_description(error))

    def _not_removed(self) -> Iterator[str]:
        if self._failures:
            more = f", and {len(self._failures) - 1} more" if len(self._failures) > 1 else ""
            yield f"Not every older bundle was removed: {self._failures[0]}{more}."

    def _is_good(self, folder: BundleFolder, found: Inventory, entry: BundleEntry) -> bool:
        record = found.records[entry.name]
        try:
            flaw = self._flaw(folder, record)
        except OSError as error:
            flaw = f"it cannot be read: {error.strerror}"
        if flaw:
            log.warning("Bundle %s does not count: %s", escape(entry.name), flaw)
        return not flaw

    def _flaw(self, folder: BundleFolder, record: CommitRecord) -> str:
        """A bundle that there is no time to read to its end is judged by its size and its beginning."""
        self._reading = Reading(self._restorer, lists_only=True, must_stop=lambda: self._must_stop(self._reading_ends))
        try:
            return stored.flaw(folder, record, self._reading)
        except Stopped:
            log.warning(
                "Bundle %s has the right size, and there was no time to read it again", escape(record.bundle.name)
            )
            return "a part of it was never written" if stored.has_holes(folder, record) else ""

    def _must_stop(self, end: float) -> bool:
        return self._stopped.is_set() or self._guard.is_stop_requested() or time.monotonic() >= end

    def _finish(self, folder: BundleFolder, record: CommitRecord) -> None:
        """Finishes a removal that a dead attempt began."""
        Removal(folder).finish(record.bundle.name)
        self._count_if_gone(folder, record)

    def _remove(self, folder: BundleFolder, record: CommitRecord) -> None:
        name = record.bundle.name
        if not folder.is_pinned(name):
            log.info("Removing bundle %s", escape(name))
            Removal(folder).remove(name)
            self._count_if_gone(folder, record)

    def _require_time_and_lock(self) -> None:
        if self._must_stop(self._reading_ends + REMOVAL_SECONDS):
            raise TimeoutError(None, "the run had to end, and the next one goes on with it")
        self._guard.check_lock()

    def _count_if_gone(self, folder: BundleFolder, record: CommitRecord) -> None:
        if not folder.has(record.bundle.name):
            self._removed.append(record.run_uid)


def _remarks_on(choice: Choice) -> Iterator[str]:
    if choice.bad:
        which = summarized([entry.name for entry in choice.bad])
        yield f"{which}: no longer the bundle that was stored (missing, changed or unreadable), so an older one stays in its place."
    if choice.large:
        which = summarized([entry.name for entry in choice.large])
        yield f"{which}: dump or files over {SHRUNKEN} times as large as in newer ones, so it stays: if the data really shrank, remove it by hand."
    if choice.of_the_future:
        which = summarized([entry.name for entry in choice.of_the_future])
        yield f"{which}: dated in the future, neither counted nor removed."


def _description(error: OSError) -> str:
    return f"{error.strerror} ({escape(str(error.filename), 80)})" if error.filename else str(error.strerror)
