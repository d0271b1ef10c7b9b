"""`python -m quotenode_backup backup` makes one attempt at a backup.

It checks everything first, dumps and archives at the same time, reads the bundle back, and commits it.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from quotenode_backup.contract.manifest import BundleManifest, CommitRecord
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.results import DETAIL_LIMIT, BackupResult
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.naming import bundle_name
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.bundle.manifest import KnownOfDatabase, with_notes
from quotenode_backup.runner.bundle.reader import Reading, Restorer, reading_back
from quotenode_backup.runner.bundle.writer import PartialBundle
from quotenode_backup.runner.files.account import Account
from quotenode_backup.runner.files.archive_process import FilesArchive
from quotenode_backup.runner.files.estimate import least_size
from quotenode_backup.runner.files.source import require_source
from quotenode_backup.runner.postgres import backup_logs, clients, locked_dump
from quotenode_backup.runner.postgres.clients import Client
from quotenode_backup.runner.postgres.credentials import write_password_file
from quotenode_backup.runner.postgres.dump import Dump, dump_command
from quotenode_backup.runner.postgres.row_counter import RowCounter
from quotenode_backup.runner.postgres.server import Server, server_of
from quotenode_backup.runner.postgres.sessions import DatabaseLock, Snapshot, SnapshotSession
from quotenode_backup.runner.process import program
from quotenode_backup.runner.process.component import Component, Progress
from quotenode_backup.runner.process.display import escape, sentence
from quotenode_backup.runner.process.environment import child_environment, python_environment
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context
from quotenode_backup.runner.process.signals import Signals, Unfinished
from quotenode_backup.runner.process.threads import Throttled, supervise
from quotenode_backup.runner.store import commit, committed, retention
from quotenode_backup.runner.store.destination import (
    Destination,
    errors_explained,
    prepared,
    require_space,
    require_writable,
)
from quotenode_backup.runner.store.folder import BundleFolder
from quotenode_backup.runner.store.stored import flaw

log = logging.getLogger(__name__)

LOCK_CHECK_SECONDS = 5.0
PROGRESS_SECONDS = 10.0
_REMEDY = "raise spec.activeDeadlineSeconds, or find out what is slow in the log of the pod"
A_BACKUP = Unfinished("the bundle was complete", _REMEDY)
"""Until it is known that no earlier attempt has stored the bundle of this run. If one has, its bundle stays."""
A_NEW_BUNDLE = Unfinished("the bundle was complete, and nothing was kept of it", _REMEDY)
T = TypeVar("T")


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(BackupPlan, BackupResult, back_up, A_BACKUP, _with_row), arguments, mounts)


def _with_row(plan: BackupPlan, context: Context, result: BackupResult) -> BackupResult:
    return result.model_copy(update={"audit": backup_logs.failed(plan, context.mounts, context.redact, result)})


def back_up(plan: BackupPlan, context: Context) -> BackupResult:
    mounts = context.mounts
    server = server_of(plan.database, mounts, context.redact)
    for index, files in enumerate(plan.files):
        require_source(mounts.source(index), files.sub_path, files.claim_name)
    with SnapshotSession(server, plan.database.name) as session, DatabaseLock(server) as lock:
        client = clients.choose(session.server_version // 10000, clients.installed(mounts.clients), server.address)
        lock.acquire()
        log.info("Locked database %s on %s", escape(plan.database.name), server.address)
        with prepared(mounts.destination, plan, lock.tag, _pod()) as destination:
            attempt = Attempt(plan, context, server, client, session, lock, destination)
            return _with_follow_up(attempt, _stored_once(attempt))


def _pod() -> str:
    """A name for this pod, so that two pods of one run never write to the same file."""
    return os.environ.get("POD_UID") or f"process-{os.getpid()}"


def _stored_once(attempt: "Attempt") -> BackupResult:
    plan, destination, system_identifier = attempt.plan, attempt.destination, attempt.lock.system_identifier
    try:
        with errors_explained(destination):
            commit.clear_away(destination)
            retention.finish_removals(destination.folder, plan, system_identifier)
            if record := committed.find(destination.folder, plan, system_identifier, attempt.flaw):
                return committed.result(plan, destination, record, "was stored by an earlier attempt")
            require_writable(destination)
            return attempt.run()
    finally:
        attempt.signals.block()
        commit.remove_own_partials(destination)


def _with_follow_up(attempt: "Attempt", result: BackupResult) -> BackupResult:
    """Once the bundle is stored, older bundles are removed, and the run's row in backup_logs is completed. Neither can fail the run."""
    assert result.bundle, "a run that succeeds has a bundle"
    attempt.session.close()
    plan, pruned = attempt.plan, None
    if plan.retention:
        own = Path(result.bundle.path).name
        newest = attempt.restorer(clients.installed(attempt.mounts.clients)[-1])  # can read the dumps of all others
        guard = retention.Guard(attempt.lock.check, lambda: attempt.signals.is_stop_requested)
        pruned = retention.apply(attempt.destination.folder, plan, plan.retention.keep_last, own, guard, newest)
    row = backup_logs.completed(plan, attempt.server, result.bundle) if plan.audit else None
    message = sentence(result.message + retention.clause(pruned), DETAIL_LIMIT)
    return result.model_copy(update={"retention": pruned, "audit": row, "message": message})


@dataclass
class Attempt:
    """What an attempt has from its lock to its commit."""

    plan: BackupPlan
    context: Context
    server: Server
    client: Client
    session: SnapshotSession
    lock: DatabaseLock
    destination: Destination

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._check_lock = Throttled(LOCK_CHECK_SECONDS, self.lock.check)

    @property
    def mounts(self) -> Mounts:
        return self.context.mounts

    @property
    def signals(self) -> Signals:
        return self.context.signals

    def run(self) -> BackupResult:
        self.signals.unfinished = A_NEW_BUNDLE
        self.session.require_readable()
        if self.plan.audit:
            backup_logs.begin(self.plan, self.server)
        self._require_space()
        versions = {
            "server": self.session.server_version_text,
            "pgDump": clients.version(self.client, child_environment(self.mounts)),
        }
        with PartialBundle(self.destination, self.plan) as bundle:
            locked, standby = self._dump(bundle), self.session.standby_notes()
            files, dump = self._files(bundle), locked.dump
            self._collect(bundle, dump, files)
            locked_dump.require_unchanged(self.session, locked)
            self.session.close()
            log.info("Putting the bundle together and flushing it to the disk")
            bundle.join()
            facts, missing = locked.facts
            account = _with_notes_on_dump(files.account if files else Account(), [*standby, *missing], dump)

            def finish(rows: RowCounter) -> BundleManifest:
                known, complete = KnownOfDatabase(facts, rows.tables()), _with_note_on_rows(account, rows)
                return bundle.finish(complete, versions, self.lock.system_identifier, known)

            read = self._read_back(bundle, finish)
        return self._commit(*read)

    def _require_space(self) -> None:
        folders = [self.mounts.source(index) / files.sub_path for index, files in enumerate(self.plan.files)]
        last = committed.last_size(self.destination.folder, self.plan, self.lock.system_identifier)
        require_space(self.destination.claim, least_size(last, self.session.database_bytes(), folders))

    def _dump(self, bundle: PartialBundle) -> locked_dump.LockedDump:
        """pg_dump before it reads rows: it has its locks, and nothing that it will read has changed since the snapshot."""
        password_file = write_password_file(self.mounts, self.plan.database, self.server.credentials.password)
        environment = clients.database_environment(self.server, child_environment(self.mounts), password_file)
        segment = bundle.open(shape.DUMP)

        def dump_of(snapshot: Snapshot) -> Dump:
            return Dump(segment, self.server, self._pg_dump(snapshot), environment)

        waiting = locked_dump.Waiting.half_of_the_time(self.plan.deadline, self._watch(lambda: None))
        try:
            return locked_dump.start(self.session, dump_of, waiting)
        except RunFailed as failure:
            raise self._explained(failure) from failure

    def _pg_dump(self, snapshot: Snapshot) -> list[str]:
        compress = clients.compress_option(self.plan.database.compression, self.client.major)
        database = clients.connection_string(self.plan.database.name, self.session.server_version)
        return dump_command(self.client, compress, snapshot, database)

    def _files(self, bundle: PartialBundle) -> FilesArchive | None:
        if not self.plan.files:
            return None
        environment = python_environment(self.mounts)
        sinks = bundle.open(shape.FILES), bundle.open(shape.INDEX)
        return FilesArchive(*sinks, self.plan, self.mounts, environment, self.server.redact)

    def _collect(self, bundle: PartialBundle, dump: Dump, files: FilesArchive | None) -> None:
        """Database and files at the same time. The snapshot is older, so every file that a row in it refers to is on the disk by now."""
        components: dict[str, Component] = {shape.DUMP: dump, **({shape.FILES: files} if files else {})}
        progress = Progress(list(components.values()))

        def kill() -> None:
            for component in components.values():
                component.kill()

        try:
            if files:
                files.start()
            watch = self._watch(Throttled(PROGRESS_SECONDS, progress.log))
            supervise([_member(bundle, *item) for item in components.items()], kill, watch)
        except RunFailed as failure:
            kill()
            raise self._explained(failure) from failure
        progress.log()

    def _explained(self, failure: RunFailed) -> RunFailed:
        """The failure of pg_dump may follow from that of one of the other sessions, which explains it better."""
        if failure.reason == Reason.DUMP_FAILED:
            self.lock.check()
            self.session.check()
        return failure

    def _watch(self, also: Callable[[], None]) -> Callable[[], None]:
        def check() -> None:
            self.signals.require_none()
            self._check_lock()
            also()

        return check

    def restorer(self, client: Client) -> Restorer:
        return Restorer(client, child_environment(self.mounts), self.server.redact)

    def flaw(self, folder: BundleFolder, record: CommitRecord) -> str:
        """What is wrong with a bundle that an earlier attempt of this run may have stored. Empty if nothing is."""
        log.info("Reading bundle %s of an earlier attempt", escape(record.bundle.name))
        reading = Reading(self.restorer(self.client))
        return self._supervised(reading, lambda: flaw(folder, record, reading))

    def _read_back(
        self, bundle: PartialBundle, finish: Callable[[RowCounter], BundleManifest]
    ) -> tuple[BundleManifest, int, str]:
        """The manifest, which `finish` makes once the rows are counted, and the size and the hash of the bundle."""
        log.info("Reading the bundle back from the disk")
        reading = Reading(self.restorer(self.client))
        folder, partial = self.destination.folder, self.destination.partial()

        def work() -> tuple[BundleManifest, str]:
            with reading_back(reading, lambda: folder.file(partial)) as read_back:
                read_back.content(bundle.parts)
                manifest = finish(reading.rows)
                return manifest, read_back.rest(bundle.parts)

        manifest, sha256 = self._supervised(reading, work)
        return manifest, reading.size, sha256

    def _supervised(self, reading: Reading, work: Callable[[], T]) -> T:
        progress = Throttled(PROGRESS_SECONDS, lambda: log.info("Read back %s", readable_size(reading.size)))
        [found] = supervise([work], kill=reading.kill, watch=self._watch(progress))
        return found

    def _commit(self, manifest: BundleManifest, size: int, sha256: str) -> BackupResult:
        """Checks the lock a last time: without it another attempt may have committed a bundle of this run."""
        self.lock.check()
        self.signals.block()
        record = commit.commit(self.destination, manifest.recorded(bundle_name(self.plan.started), size, sha256))
        seconds = time.monotonic() - self._began
        return committed.result(self.plan, self.destination, record, f"was stored and read back in {seconds:.1f} s")


def _member(bundle: PartialBundle, name: str, component: Component) -> Callable[[], None]:
    def work() -> None:
        component.run()
        bundle.close(name)
        if name == shape.FILES:
            bundle.close(shape.INDEX)

    return work


def _with_notes_on_dump(account: Account, notes: list[str], dump: Dump) -> Account:
    return with_notes(account, len(notes) + dump.note_count, [*notes, *dump.notes])


def _with_note_on_rows(account: Account, rows: RowCounter) -> Account:
    """With a note if the rows could not be counted."""
    if not rows.problem:
        return account
    note = f"its rows could not be counted ({rows.problem})"
    log.warning("The manifest has less about the dump: %s", note)
    return with_notes(account, 1, [note])
