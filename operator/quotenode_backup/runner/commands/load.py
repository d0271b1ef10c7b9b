"""`python -m quotenode_backup load` loads a bundle beside the live data, while the application runs.

The bundle is verified once more, and then read a second time: whatever differs from what was verified ends the load. What is loaded becomes visible to
nobody before the swap.
"""

import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from quotenode_backup.contract.restore_plans import LoadPlan
from quotenode_backup.contract.restore_results import LoadedDatabase, LoadedFiles, LoadResult
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.domain.restore_names import scratch_name
from quotenode_backup.runner.bundle.member_stream import Member, member_stream
from quotenode_backup.runner.commands.bundle_reading import files_of, verified
from quotenode_backup.runner.commands.restore_checks import Checked, check_database, require_files, require_same_name
from quotenode_backup.runner.commands.restore_target import LiveFolder, identities_of, live_folders
from quotenode_backup.runner.commands.verify import scanned
from quotenode_backup.runner.files import expiry
from quotenode_backup.runner.files.archive_check import Tally, require_tally
from quotenode_backup.runner.files.extract import extract
from quotenode_backup.runner.files.probes import require_renames, require_replaceable
from quotenode_backup.runner.files.restore_folder import opened
from quotenode_backup.runner.files.room import Need, require_room
from quotenode_backup.runner.postgres import clients
from quotenode_backup.runner.postgres.clients import database_environment
from quotenode_backup.runner.postgres.credentials import write_password_file
from quotenode_backup.runner.postgres.dump_head import DumpHead, read_head
from quotenode_backup.runner.postgres.restore import databases, leftovers, programs, properties, scratch
from quotenode_backup.runner.postgres.restore.growth import GrowthWatch
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.restore.load import Load, LoadOptions
from quotenode_backup.runner.postgres.restore.loading import load_into_scratch
from quotenode_backup.runner.postgres.restore.marker import Marker
from quotenode_backup.runner.postgres.restore.row_counts import Counted
from quotenode_backup.runner.postgres.restore.statements import StatementSession
from quotenode_backup.runner.postgres.sessions import MAINTENANCE, DatabaseLock
from quotenode_backup.runner.process import plan_io, program
from quotenode_backup.runner.process.environment import child_environment
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context
from quotenode_backup.runner.process.signals import Unfinished
from quotenode_backup.runner.process.threads import Throttled
from quotenode_backup.runner.store.bundle_source import Verified, opened_bundle

log = logging.getLogger(__name__)

A_LOAD = Unfinished("the backup was loaded, and the live data is untouched", "raise spec.activeDeadlineSeconds")
LOCK_CHECK_SECONDS = 5.0
JOBS = 2
"""Sessions that build indexes. A server has few processors to spare while the application runs."""


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(LoadPlan, LoadResult, load, A_LOAD), arguments, mounts)


def load(plan: LoadPlan, context: Context) -> LoadResult:
    began = time.monotonic()
    identities = identities_of(plan, context)
    with DatabaseLock(identities.owner) as lock, live_folders(plan, context) as folders:
        lock.acquire()
        attempt = Attempt(plan, context, identities, lock, folders)
        attempt.remove_leftovers()
        result = attempt.run()
    return result.model_copy(update={"seconds": round(time.monotonic() - began, 1)})


@dataclass
class Attempt:
    plan: LoadPlan
    context: Context
    identities: Identities
    lock: DatabaseLock
    folders: Mapping[str, LiveFolder]

    def __post_init__(self) -> None:
        self._check_lock = Throttled(LOCK_CHECK_SECONDS, self.lock.check)

    def remove_leftovers(self) -> None:
        """What earlier restores have kept for longer than they should takes the room that this one needs."""
        now = datetime.now(UTC)
        with StatementSession(self.identities.privileged, MAINTENANCE) as session:
            found = leftovers.of_target(databases.marked(session), self.plan.database.name)
            leftovers.drop_all(session, leftovers.expired(found, now))
        for folder in self.folders.values():
            expiry.remove_expired(folder.live, now)

    def run(self) -> LoadResult:
        plan, context = self.plan, self.context
        with opened_bundle(plan.bundle, context.mounts.destination) as source:
            bundle = verified(source, context, self._check_lock)
            require_same_name(plan, bundle.manifest)
            head, found = scanned(source, bundle, context)
            checked = check_database(plan, context.mounts, self.identities, head, bundle.manifest.database.size_bytes)
            self._check_folders(bundle, found.tallies)
            with source.folder.file(source.name) as file, member_stream(file, bundle.members) as members:
                database, files = self._load_members(members, bundle, checked)
        message = f"The backup was loaded beside the live data: {_described(database, files)}."
        loaded = {"bundle_sha256": bundle.sha256, "database": database, "files": files}
        return plan_io.succeeded(plan, message, LoadResult).model_copy(update=loaded)

    def _check_folders(self, bundle: Verified, tallies: Mapping[str, Tally]) -> None:
        if not self.folders:
            return
        require_files(self.plan, bundle.manifest)
        for folder in self.folders.values():
            require_replaceable(folder.live)
            with opened(folder.live, self.plan.run_uid) as own:
                require_renames(own)
        require_room(Need(folder.claim, folder.live, tallies[name]) for name, folder in self.folders.items())

    def _load_members(
        self, members: Iterator[Member], bundle: Verified, checked: Checked
    ) -> tuple[LoadedDatabase | None, LoadedFiles | None]:
        database, files = None, None
        for member in members:
            self._watch()
            if member.name == shape.DUMP and self.plan.restores_database:
                database = self._load_database(member, bundle, checked)
            elif member.name == shape.FILES and self.folders:
                files = self._load_files(member, bundle)
        return database, files

    def _watch(self) -> None:
        self.context.signals.require_none()
        self._check_lock()

    def _load_database(self, member: Member, bundle: Verified, checked: Checked) -> LoadedDatabase:
        chunks = member.chunks()
        head, begun = read_head(chunks)
        marker = self._marker(bundle)
        name = scratch.create(self.identities, scratch.Like.of(checked.live), marker)
        counted = self._loaded(head, itertools.chain([memoryview(begun)], chunks), marker, checked)
        self._rehearse(checked.live.oid, name)
        return LoadedDatabase(tables=counted.tables, rows=counted.rows, is_compared=counted.is_compared)

    def _loaded(self, head: DumpHead, chunks: Iterator[memoryview], marker: Marker, checked: Checked) -> Counted:
        privileged = self.identities.privileged
        with StatementSession(privileged, MAINTENANCE) as session:
            created = databases.require(session, scratch_name(self.plan.run_uid))
            growth = GrowthWatch(session, created.oid, checked.room.budget_bytes)
            options = LoadOptions(jobs=JOBS, by_admin=checked.by_admin)
            used = self._programs(head, created.name, session.server_version)
            one = Load(self.identities.owner, self.identities.admin, used, head, options)
            return load_into_scratch(self.identities, one, chunks, marker, growth, self._watch)[1]

    def _programs(self, head: DumpHead, name: str, server_version: int) -> programs.Programs:
        owner, mounts = self.identities.owner, self.context.mounts
        password_file = write_password_file(mounts, owner.planned, owner.credentials.password)
        environment = database_environment(owner, child_environment(mounts), password_file)
        client = programs.choose(head.client_major, clients.installed(mounts.clients))
        return programs.Programs(client, environment, owner.redact, name, server_version)

    def _rehearse(self, live_oid: int, name: str) -> None:
        """What would be refused with the application down is refused now."""
        with StatementSession(self.identities.privileged, MAINTENANCE) as session:
            created = databases.require(session, name)
            if failure := properties.rehearse(session, live_oid, created.oid, name):
                raise RunFailed(
                    failure.reason, f"The properties of the live database cannot be copied. {failure.message}"
                ) from failure

    def _marker(self, bundle: Verified) -> Marker:
        return Marker(
            state="Loading",
            database=self.plan.database.name,
            restore_uid=self.plan.run_uid,
            attempt=self.plan.attempt,
            bundle_sha256=bundle.sha256,
            expires=self.plan.expires,
        )

    def _load_files(self, member: Member, bundle: Verified) -> LoadedFiles:
        held = bundle.manifest.files
        assert held, "a member of this name is in the manifest"
        most = Tally(held.files, held.folders, held.links, held.content_bytes)
        with ExitStack() as stack:
            targets = {}
            for name, folder in self.folders.items():
                own = stack.enter_context(opened(folder.live, self.plan.run_uid))
                staging = own.staging(self.plan.attempt, self.plan.expires, bundle.sha256)
                targets[name] = stack.enter_context(staging)
            found = extract(files_of(member), bundle.manifest.holds, targets, most, lambda _: self._watch())
            require_tally(found.total, most)
            member.skip()
        restored = [found.tallies[name] for name in self.folders]
        return LoadedFiles(entries=sum(tally.files + tally.folders + tally.links for tally in restored))


def _described(database: LoadedDatabase | None, files: LoadedFiles | None) -> str:
    parts = [f"{database.rows} rows of {database.tables} tables"] if database else []
    return " and ".join([*parts, *([f"{files.entries} files, folders and links"] if files else [])])
