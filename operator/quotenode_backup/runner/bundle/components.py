"""The two halves of a backup, each a pipeline whose output becomes one member of the bundle."""

import json
import logging
import os
import select
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fcntl import ioctl
from termios import FIONREAD
from typing import IO, Any

from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.bundle.members import Part, Segment
from quotenode_backup.runner.postgres.clients import Client
from quotenode_backup.runner.postgres.connection import KEEPALIVE, session_settings
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import Snapshot
from quotenode_backup.runner.process.display import Redactor, sentence, shown
from quotenode_backup.runner.process.mounts import Places
from quotenode_backup.runner.process.pipeline import Exit, Pipeline, Stage, first_failure, pump
from quotenode_backup.runner.process.stderr import warnings_of

log = logging.getLogger(__name__)

LOCK_WAIT_SECONDS = 30


class Component(ABC):
    """Something that runs in a thread until it is done, has failed, or is killed."""

    def __init__(self, segment: Segment, redact: Redactor) -> None:
        self.segment = segment
        self._redact = redact
        self._pipeline: Pipeline | None = None

    @abstractmethod
    def pipeline(self) -> Pipeline:
        """Its processes, started."""

    @abstractmethod
    def judge(self, failure: Exit) -> RunFailed:
        """What a stage that ended badly means."""

    @abstractmethod
    def progress(self) -> str: ...

    def start(self) -> None:
        self._pipeline = self.pipeline()

    def run(self) -> Part:
        assert self._pipeline
        try:
            pump(self._pipeline.output, self.segment.write)
        except BaseException:
            self._pipeline.kill()
            self._pipeline.wait()
            raise
        exits = self._pipeline.wait()
        failure = first_failure(exits)
        if failure:
            raise self.judge(failure)
        for ended in exits:
            self.heard(ended)
        return self.segment.close()

    def heard(self, ended: Exit) -> None:
        """A stage went well. What it said all the same is for whoever reads the log."""
        for line in ended.said.splitlines():
            log.warning("%s: %s", ended.name, sentence(line, 1000))

    def kill(self) -> None:
        if self._pipeline:
            self._pipeline.kill()

    def end(self) -> None:
        """Kill, and wait until nothing of it is left."""
        if self._pipeline:
            self._pipeline.kill()
            self._pipeline.wait()


def _readable_bytes(pipe: IO[bytes]) -> int:
    """0 at the end as well, where a pipe counts as readable too."""
    return int.from_bytes(ioctl(pipe, FIONREAD, bytes(4)), sys.byteorder)


def dump_command(client: Client, compress: str, snapshot: Snapshot, connection: str) -> list[str]:
    """In the database's own encoding, since a role's client_encoding may not have all of its characters."""
    return [
        client.pg_dump,
        "--format=custom",
        f"--compress={compress}",
        f"--snapshot={snapshot.identifier}",
        f"--encoding={snapshot.encoding}",
        "--no-password",
        f"--lock-wait-timeout={LOCK_WAIT_SECONDS * 1000}",
        f"--dbname={connection}",
    ]


class Dump(Component):
    def __init__(
        self, segment: Segment, server: Server, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        super().__init__(segment, server.redact)
        self._server, self._command, self._environment = server, command, environment
        self.notes: list[str] = []
        """What pg_dump warned of, such as something that it left out, as far as it is kept."""
        self.note_count = 0
        self._began = 0.0

    def pipeline(self) -> Pipeline:
        self._began = time.monotonic()
        return Pipeline([Stage("pg_dump", self._command, self._environment)], self._redact, held=True)

    def wait_for_locks(self) -> None:
        """Until pg_dump holds its locks on all tables that it will read.

        In custom format it writes its first byte after that, and all it has asked the catalogs by then stands in memory. It stands still with
        that byte until `run`, unless the whole dump is smaller than two pages.
        """
        assert self._pipeline
        select.select([self._pipeline.output], [], [])
        if _readable_bytes(self._pipeline.output):
            return
        failure = first_failure(self._pipeline.wait())
        if failure:
            raise self.judge(failure)

    def run(self) -> Part:
        assert self._pipeline
        self._pipeline.release()
        return super().run()

    def heard(self, ended: Exit) -> None:
        super().heard(ended)
        self.notes += warnings_of(ended.said)
        self.note_count += ended.warnings

    def judge(self, failure: Exit) -> RunFailed:
        has_waited = time.monotonic() - self._began > LOCK_WAIT_SECONDS - 1
        return dump_failure(self._server, failure, has_waited=has_waited)

    def progress(self) -> str:
        return f"database: {readable_size(self.segment.size)}"


def connection_string(database: str, server_version: int) -> str:
    """What pg_dump gets as its database: a name is data here, and can't be taken for a connection string of its own."""
    options = " ".join(f"-c {setting}={value}" for setting, value in session_settings(server_version).items())
    parameters = {"dbname": database, **KEEPALIVE, "options": options}
    return " ".join(f"{key}={quoted(str(value))}" for key, value in parameters.items())


def quoted(value: str) -> str:
    """`value` as libpq reads it in a connection string."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def database_environment(server: Server, base: Mapping[str, str], password_file: os.PathLike[str]) -> dict[str, str]:
    return {
        **base,
        "PGHOST": server.planned.host,
        "PGPORT": str(server.planned.port),
        "PGUSER": server.credentials.username,
        "PGPASSFILE": os.fspath(password_file),
        "PGSSLMODE": server.planned.ssl_mode,
        **({"PGREQUIREAUTH": server.require_auth} if server.require_auth else {}),
        **({"PGSSLROOTCERT": str(server.ca_file)} if server.ca_file else {}),
    }


_CONNECTION_WORDS = (
    "server closed the connection",
    "could not receive data",
    "could not send data",
    "SSL connection has been closed",
    "SSL SYSCALL error",
    "SSL error",
    "terminating connection",
    "connection to server at",
    "no connection to the server",
    "Connection timed out",
    "lost synchronization",
)


def dump_failure(server: Server, failure: Exit, *, has_waited: bool = True) -> RunFailed:
    """`has_waited`: for as long as pg_dump waits for a lock. From pg_dump's own words, which are English; the server's may be in any language, and pg_dump has no SQLSTATE."""
    words, where = (
        server.words(_reasons(failure.said), 180),
        f"database {shown(server.planned.name, 80)} on {server.address}",
    )
    said = failure.said
    if "permission denied" in said or "row-level security" in said:
        return RunFailed(
            Reason.PERMISSION_DENIED,
            f"Role {server.role} may not read all of {where} ({words}): GRANT what is missing, or use the owner's role in "
            f"Secret {server.planned.credentials_secret}.",
        )
    if any(word in said for word in _CONNECTION_WORDS):
        return RunFailed(
            Reason.SOURCE_CONNECTION_LOST,
            f"pg_dump lost its connection to {where} ({words}): the server was restarted, the session was ended there, or "
            "the network was cut.",
        )
    if "out of shared memory" in said:
        return RunFailed(
            Reason.DUMP_FAILED,
            f"PostgreSQL has no room for the locks of all tables of {where} ({words}): raise max_locks_per_transaction.",
        )
    if has_waited and ("LOCK TABLE" in said or "lock timeout" in said):
        return RunFailed(
            Reason.TABLE_LOCKED,
            f"A table of {where} was locked for {LOCK_WAIT_SECONDS} s by somebody else ({words}): let the "
            "migration or maintenance end first.",
        )
    return RunFailed(
        Reason.DUMP_FAILED, f"pg_dump of {where} ended with exit code {failure.code} ({words or 'it said nothing'})."
    )


def _reasons(said: str) -> str:
    """The lines that say why, without the statements that only say where."""
    lines = [line.removeprefix("pg_dump: ") for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("error: ", "detail: Error message"))]
    return "; ".join(telling or lines[-2:])


class Files(Component):
    def __init__(
        self, segment: Segment, plan: BackupPlan, places: Places, environment: Mapping[str, str], redact: Redactor
    ) -> None:
        super().__init__(segment, redact)
        self._environment = environment
        self._sources = [
            {
                "name": files.name,
                "root": str(places.source(index)),
                "subPath": files.sub_path,
                "claimName": files.claim_name,
            }
            for index, files in enumerate(plan.files)
        ]
        self.account: dict[str, Any] = {"files": 0, "bytes": 0, "notes": [], "note_count": 0}
        self._failed: RunFailed | None = None

    def pipeline(self) -> Pipeline:
        reading, writing = os.pipe()
        archive = (sys.executable, "-P", "-m", "quotenode_backup", "archive", str(writing), json.dumps(self._sources))
        try:
            pipeline = Pipeline(
                [
                    Stage("the archive of the files", archive, self._environment, (writing,)),
                    Stage("igzip", ("igzip", "-1", "-c"), self._environment),
                ],
                self._redact,
            )
        finally:
            os.close(writing)
        self._listener = threading.Thread(target=self._listen, args=(reading,), daemon=True)
        self._listener.start()
        return pipeline

    def _listen(self, reading: int) -> None:
        with os.fdopen(reading, encoding="utf-8") as report:
            for line in report:
                with suppress(ValueError):  # half a line of a child that was killed: its exit code tells the rest
                    self._hear(json.loads(line))

    def _hear(self, told: dict[str, Any]) -> None:
        if failed := told.get("failed"):
            self._failed = RunFailed(Reason(failed["reason"]), failed["message"])
        else:
            self.account = {**self.account, **(told.get("progress") or told["done"])}

    def run(self) -> Part:
        part = super().run()
        self._listener.join()
        return part

    def judge(self, failure: Exit) -> RunFailed:
        self._listener.join()
        return self._failed or RunFailed(
            Reason.IO_ERROR,
            f"{failure.name} ended with exit code {failure.code} ({sentence(failure.said, 220) or 'it said nothing'}).",
        )

    def progress(self) -> str:
        return f"files: {self.account['files']} of {readable_size(self.account['bytes'])}, {readable_size(self.segment.size)} stored"
