"""A run has one bundle. If an earlier attempt has committed it, it is read to its end and reported, and not made again."""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from quotenode_backup.contract.manifest import CommitRecord, NewerFormat, StoredMember, to_the_second
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.results import BackupResult, StoredBundle, StoredComponent
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.retention import CLOCK_SKEW
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.bundle.manifest import target
from quotenode_backup.runner.process import plan_io
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.store.destination import Destination
from quotenode_backup.runner.store.folder import BundleFolder

log = logging.getLogger(__name__)

MOST_CANDIDATES = 3
"""How many bundles one run reads to find its own. There is only one, unless somebody adds others that claim to be it."""


def find(
    folder: BundleFolder, plan: BackupPlan, system_identifier: int, flaw: Callable[[BundleFolder, CommitRecord], str]
) -> CommitRecord | None:
    """The commit record of a bundle of this run in which `flaw` finds nothing wrong. A bundle with a flaw is left as it is."""
    candidates: list[CommitRecord] = []
    for bundle, record in folder.records():
        if isinstance(record, NewerFormat):
            _refuse_own(plan, bundle, record)
        elif _is_of_run(plan, system_identifier, record):
            candidates.append(record)
    for record in candidates[:MOST_CANDIDATES]:
        found = flaw(folder, record)
        if not found:
            return record
        log.warning("Bundle %s claims to be of this run, and is not used: %s", escape(record.bundle.name), found)
    return None


def _refuse_own(plan: BackupPlan, bundle: str, record: NewerFormat) -> None:
    """A run that was begun under a later release must not make its bundle again."""
    log.warning("The commit record of bundle %s is %s", escape(bundle), record)
    if record.run_uid == plan.run_uid:
        raise RunFailed(
            Reason.FILE_UNREADABLE,
            f"This run has stored bundle {escape(bundle)} already, and its commit record is {record}: install that release again.",
        )


def _is_of_run(plan: BackupPlan, system_identifier: int, record: CommitRecord) -> bool:
    is_of_target = record.is_of(plan.namespace, target(plan, system_identifier))
    return is_of_target and (record.run_uid, record.started) == (plan.run_uid, to_the_second(plan.started))


def last_size(folder: BundleFolder, plan: BackupPlan, system_identifier: int) -> int:
    """The bytes that the newest bundle of this database with the same volumes takes on the disk. 0 if there is none.

    The largest bundle may be of a time when there was more data, and a record may be of a bundle that was removed, so neither is asked.
    """
    volumes, latest = frozenset(files.name for files in plan.files), datetime.now(UTC) + CLOCK_SKEW
    alike = [
        record
        for record in folder.committed()
        if record.is_of(plan.namespace, target(plan, system_identifier))
        and record.holds == volumes
        and record.completed <= latest
    ]
    newest_first = sorted(alike, key=lambda record: record.completed, reverse=True)
    return next(filter(None, (_room(folder, record.bundle.name) for record in newest_first)), 0)


def _room(folder: BundleFolder, bundle: str) -> int:
    with suppress(OSError):
        return folder.room(bundle)
    return 0


def result(plan: BackupPlan, destination: Destination, record: CommitRecord, ending: str) -> BackupResult:
    """`ending`: how the sentence about the bundle ends."""
    name = record.bundle.name
    message = f"{name} ({readable_size(record.bundle.size_bytes)}) {ending}.{_notes_clause(record.note_count)}"
    bundle = stored_bundle(record, destination.below_claim(name))
    succeeded = plan_io.succeeded(plan, message, BackupResult)
    return succeeded.model_copy(update={"bundle": bundle, "notes": record.note_count, **_leftovers(record)})


def stored_bundle(record: CommitRecord, path: str) -> StoredBundle:
    """The bundle as its commit record describes it. `path`: below the root of the claim."""
    return StoredBundle(
        path=path,
        size_bytes=record.bundle.size_bytes,
        sha256=record.bundle.sha256,
        database=_component(record.database),
        files=_component(record.files) if record.files else None,
        completed=record.completed,
        user_id=record.runner.uid,
    )


def _notes_clause(count: int) -> str:
    return f" Its manifest and the log have {count} {'note' if count == 1 else 'notes'} about it." if count else ""


def _leftovers(record: CommitRecord) -> dict[str, int]:
    return {"leftovers": record.files.leftovers or 0} if record.files else {}


def _component(member: StoredMember) -> StoredComponent:
    return StoredComponent(size_bytes=member.size_bytes, sha256=member.sha256)
