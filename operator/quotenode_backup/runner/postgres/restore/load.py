"""Loads a dump into the scratch database.

The dump comes once, from a stream, and is never stored. What precedes the data, and the data, are loaded while they arrive. What comes after the data,
such as indexes, has no data of its own and is loaded by several sessions from a copy of the head.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.dump_head import DumpHead, Entry
from quotenode_backup.runner.postgres.restore import dumped_names
from quotenode_backup.runner.postgres.restore.dumped_names import DumpedExtension
from quotenode_backup.runner.postgres.restore.feed import Chunk, feed, relay
from quotenode_backup.runner.postgres.restore.load_failure import load_failure
from quotenode_backup.runner.postgres.restore.programs import Programs, Section, SettingFilter, in_memory
from quotenode_backup.runner.postgres.restore.row_counts import Counted, Rows, compare, count
from quotenode_backup.runner.postgres.restore.statements import StatementSession, name
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.process.pipeline import Exit, Pipeline, Stage, first_failure, pump
from quotenode_backup.runner.process.threads import supervise

log = logging.getLogger(__name__)

_PRESENT = {"public", "pg_catalog"}
"""Schemas that a new database has."""


class TextCounter(Protocol):
    """Counts the rows in the text that pg_restore makes of the data."""

    def feed(self, chunk: memoryview) -> None: ...
    def rows(self) -> Rows | None:
        """None if they could not be counted."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    jobs: int = 1
    by_admin: Sequence[DumpedExtension] = ()
    """The extensions that the role that loads may not create. If there are any, the administrator's role creates all."""
    expected: Rows | None = None
    """The rows of each table, from the bundle."""
    counter: Callable[[], TextCounter] | None = None
    """Counts the rows in the dump itself where the bundle does not tell them."""


@dataclass
class Load:
    """One load, which another thread may `kill`."""

    server: Server
    """As the role that loads."""
    admin: Server | None
    programs: Programs
    head: DumpHead
    options: LoadOptions
    _running: list[Pipeline] = field(default_factory=list)
    _is_killed: bool = False
    _starting: threading.Lock = field(default_factory=threading.Lock)

    def kill(self) -> None:
        """Ends the programs. The server ends what it does for them when the database is dropped."""
        with self._starting:
            self._is_killed = True
            for pipeline in self._running:
                pipeline.kill()

    def run(self, chunks: Iterable[Chunk]) -> Counted:
        """`chunks`: the whole dump, its head included. The database is complete but for its comment after it."""
        with ExitStack() as stack:
            archive = stack.enter_context(in_memory(self.head.raw))
            wanted = stack.enter_context(in_memory(self._list()))
            self._create_extensions(archive)
            expected = self._stream(chunks, wanted)
            counted = self._counted(expected)
            log.info("Loaded %d rows of %d tables; building indexes and constraints", counted.rows, counted.tables)
            self._load_rest(archive)
        with StatementSession(self.server, self.programs.scratch) as session:
            session.do("ANALYZE")
        return counted

    @property
    def _usual(self) -> tuple[str, ...]:
        """A subscription would pull changes into the copy, and a database with one cannot be dropped."""
        owners = dumped_names.owners(self.head)
        return ("--no-subscriptions", *(["--no-owner"] if owners <= {self.server.credentials.username} else []))

    def _load_rest(self, archive: int) -> None:
        """The row policies come last: to check a foreign key needs all rows, which forced policies hide from the owner too, and several sessions do
        not keep to the order of the dump."""
        jobs = [f"--jobs={self.options.jobs}"] if self.programs.is_direct else []
        policies = [entry.dump_id for entry in self.head.entries if _is_policy(entry)]
        with in_memory(self._list(but=set(policies))) as listed:
            self._load([Section.POST_DATA], *jobs, *self._usual, archive=archive, listed=listed)
        if policies:
            with in_memory(_numbers(policies)) as listed:
                self._load([Section.POST_DATA], *self._usual, archive=archive, listed=listed)

    def _list(self, but: Set[int] = frozenset()) -> bytes:
        """The entries that pg_restore is to load, in the order of the dump."""
        left_out = self._left_out() | but
        return _numbers(entry.dump_id for entry in self.head.entries if entry.dump_id not in left_out)

    def _left_out(self) -> set[int]:
        if not self.options.by_admin:
            return set()
        extensions = dumped_names.extensions(self.head)
        comments = {f"EXTENSION {form}" for e in extensions for form in (e.name, f'"{e.name}"')}
        return {
            entry.dump_id
            for entry in self.head.entries
            if entry.kind == "EXTENSION"
            or (entry.kind == "COMMENT" and entry.tag in comments)
            or entry.dump_id in self._early
        }

    @property
    def _early(self) -> set[int]:
        """The schemas that extensions are created in, which must be there before them."""
        schemas = {extension.schema for extension in dumped_names.extensions(self.head)} - _PRESENT
        return {entry.dump_id for entry in self.head.of_kind("SCHEMA") if entry.tag in schemas}

    def _create_extensions(self, archive: int) -> None:
        if not self.options.by_admin:
            return
        assert self.admin, "only an administrator's role creates extensions beforehand"
        if early := self._early:
            with in_memory(_numbers(sorted(early))) as listed:
                self._load([Section.PRE_DATA], *self._usual, archive=archive, listed=listed)
        with StatementSession(self.admin, self.programs.scratch) as session:
            for extension in dumped_names.extensions(self.head):
                parts = name(extension.name), name(extension.schema)
                session.do("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {} CASCADE", *parts)

    def _stream(self, chunks: Iterable[Chunk], wanted: int) -> Rows | None:
        """The rows that the dump has, if they are to be counted in it."""
        counter = self.options.counter() if self.options.expected is None and self.options.counter else None
        counting = self._started(self.programs.data_as_text(), fed=True) if counter else None
        stage = self.programs.restore([Section.PRE_DATA, Section.DATA], *self._usual, listed=wanted)
        work: list[Callable[[], None]] = []
        if counter and counting:
            work.append(lambda: pump(counting.output, counter.feed))
        also = [counting] if counting else []
        self._run(stage, lambda loading: work.append(lambda: feed(self._until_killed(chunks), loading, *also)), work)
        if counting and counter:
            self._require_success(counting)
        return counter.rows() if counter else self.options.expected

    def _until_killed(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            if self._is_killed:
                raise _ended()
            yield chunk

    def _load(self, sections: Sequence[Section], *options: str, archive: int, listed: int) -> None:
        self._run(self.programs.restore(sections, *options, archive=archive, listed=listed), None, [])

    def _run(self, stage: Stage, fed_by: Callable[[Pipeline], None] | None, work: list[Callable[[], None]]) -> None:
        """Runs pg_restore, and psql behind it where it cannot talk to the server itself."""
        is_direct = self.programs.is_direct
        restore = self._started(stage, fed=fed_by is not None, read=not is_direct)
        psql = None if is_direct else self._started(self.programs.psql(), fed=True, read=False)
        if fed_by:
            fed_by(restore)
        if psql:
            without = SettingFilter()
            work.append(lambda: relay(restore, without, without.end, psql))
        supervise(work, kill=self.kill, watch=lambda: None)
        if psql:
            self._require_success(psql, restore)
        else:
            self._require_success(restore)

    def _started(self, stage: Stage, *, fed: bool, read: bool = True) -> Pipeline:
        with self._starting:
            if self._is_killed:
                raise _ended()
            pipeline = Pipeline([stage], self.programs.redact, fed=fed, read=read)
            self._running.append(pipeline)
            return pipeline

    def _require_success(self, *pipelines: Pipeline) -> None:
        """The pipelines in the order in which their failures explain the others'."""
        exits = [ended for pipeline in pipelines for ended in pipeline.wait()]
        failure = next(filter(None, (first_failure([ended]) for ended in exits)), None)
        if failure:
            raise _ended() if self._is_killed else self._explained(failure)

    def _explained(self, failure: Exit) -> RunFailed:
        return load_failure(self.server, self.programs.scratch, failure)

    def _counted(self, expected: Rows | None) -> Counted:
        """Before the row policies are there, which would hide rows from the owner too."""
        tables = [(entry.schema, entry.tag) for entry in self.head.of_kind("TABLE DATA")]
        with StatementSession(self.server, self.programs.scratch) as session:
            found: Mapping[tuple[str, str], int] = count(session, tables)
        return compare(self.server, found, expected)


def _is_policy(entry: Entry) -> bool:
    return entry.kind in ("ROW SECURITY", "POLICY") or (entry.kind == "COMMENT" and entry.tag.startswith("POLICY "))


def _numbers(dump_ids: Iterable[int]) -> bytes:
    """A list of entries as pg_restore reads it."""
    return "".join(f"{dump_id};\n" for dump_id in dump_ids).encode()


def _ended() -> RunFailed:
    return RunFailed(Reason.INTERRUPTED, "The load was ended before it was complete; the live database is untouched.")
