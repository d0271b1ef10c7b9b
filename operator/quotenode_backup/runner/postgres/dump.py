"""pg_dump as a component of a backup."""

import select
import sys
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from termios import FIONREAD
from typing import IO

from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.postgres.clients import Client
from quotenode_backup.runner.postgres.dump_failure import LOCK_WAIT_SECONDS, dump_failure
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import Snapshot
from quotenode_backup.runner.process.component import Component, Sink
from quotenode_backup.runner.process.pipeline import Exit, Pipeline, Stage, first_failure
from quotenode_backup.runner.process.stderr import warnings_in


def dump_command(client: Client, compress: str, snapshot: Snapshot, connection: str) -> list[str]:
    """The encoding is the database's own, since a role's client_encoding may lack some of its characters."""
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
    def __init__(self, sink: Sink, server: Server, command: Sequence[str], environment: Mapping[str, str]) -> None:
        super().__init__(sink, server.redact)
        self._server, self._command, self._environment = server, command, environment
        self.notes: list[str] = []
        """The warnings of pg_dump, for example that it left something out, as far as they were kept."""
        self.note_count = 0
        self._began = 0.0

    def pipeline(self) -> Pipeline:
        self._began = time.monotonic()
        return Pipeline([Stage("pg_dump", self._command, self._environment)], self._redact, held=True)

    def wait_for_locks(self) -> None:
        """Returns once pg_dump holds its locks on all tables that it will read.

        In the custom format pg_dump writes its first byte only then, and what it has asked the catalogs by then is in its memory. Unless the
        whole dump is smaller than two pages, pg_dump is blocked in that first write until `run`.
        """
        assert self._pipeline
        select.select([self._pipeline.output], [], [])
        if _readable_bytes(self._pipeline.output):
            return
        failure = first_failure(self._pipeline.wait())
        if failure:
            raise self.explain(failure)

    def run(self) -> None:
        assert self._pipeline
        self._pipeline.release()
        super().run()

    def succeeded(self, ended: Exit) -> None:
        super().succeeded(ended)
        self.notes += warnings_in(ended.stderr)
        self.note_count += ended.warnings

    def explain(self, failure: Exit) -> RunFailed:
        has_waited = time.monotonic() - self._began > LOCK_WAIT_SECONDS - 1
        return dump_failure(self._server, failure, has_waited=has_waited)

    def progress(self) -> str:
        return f"database: {readable_size(self.sink.size)}"


def _readable_bytes(pipe: IO[bytes]) -> int:
    """0 at the end of the file, where `select` calls a pipe readable too."""
    return int.from_bytes(ioctl(pipe, FIONREAD, bytes(4)), sys.byteorder)
