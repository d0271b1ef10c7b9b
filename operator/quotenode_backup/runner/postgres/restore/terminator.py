"""Ends the sessions in two databases while they are being renamed.

The rename comes first: it holds the database's lock, so newcomers wait, however eagerly a pool reconnects. The sessions are ended one at a time, since
a statement that ends a set of them aborts at the first one that it may not end.
"""

import logging
import threading
from collections.abc import Collection
from types import TracebackType
from typing import Self

from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.runner.postgres.restore.statements import sqlstate
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import MAINTENANCE, Session

log = logging.getLogger(__name__)

EVERY_SECONDS = 0.02


class Terminator:
    """Its connection is open before the rename begins. `start` and the end of the context bound the time in which it ends sessions."""

    def __init__(self, server: Server, oids: Collection[int]) -> None:
        self._session, self._oids = Session(server, MAINTENANCE), list(oids)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.ended: set[int] = set()
        self.refused: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(5)
        self._session.close()
        log.info("Ended %d sessions for the rename", len(self.ended))

    def _run(self) -> None:
        try:
            while not self._stop.wait(EVERY_SECONDS):
                self._round()
        except RunFailed as failure:
            log.warning("No session is ended any more: %s", failure.message)

    def _round(self) -> None:
        for (pid,) in self._session.rows(_INSIDE, oids=self._oids):
            if pid not in self.refused:
                self._end(pid)

    def _end(self, pid: int) -> None:
        try:
            self._session.value("SELECT pg_terminate_backend(%(pid)s)", pid=pid)
            self.ended.add(pid)
        except RunFailed as failure:
            if sqlstate(failure) != "42501":
                raise
            self.refused.add(pid)


_INSIDE = "SELECT pid FROM pg_stat_activity WHERE datid = ANY(%(oids)s::oid[]) AND usesysid IS NOT NULL AND pid <> pg_backend_pid()"
