"""People at work: offers come in at a rate that can be changed while it runs."""

import logging
import threading
from pathlib import Path

import psycopg

from standin import offers
from standin.database import Connection, connect

log = logging.getLogger(__name__)


class Writer(threading.Thread):
    def __init__(self, root: Path, *, per_second: float, size: int) -> None:
        super().__init__(name="writer", daemon=True)
        self._root, self._size = root, size
        self._per_second = per_second
        self._changed = threading.Condition()
        self.written = 0

    @property
    def per_second(self) -> float:
        return self._per_second

    def set_rate(self, per_second: float) -> None:
        """When this returns, no write at the old rate is under way: after 0 the data stands still."""
        with self._changed:
            self._per_second = per_second
            self._changed.notify()

    def run(self) -> None:
        while True:
            try:
                with connect(autocommit=True) as conn:
                    self._write_on(conn)
            except (psycopg.Error, OSError) as exc:
                log.warning("Writer lost its database or volume, trying again: %s", type(exc).__name__)
                with self._changed:
                    self._changed.wait(1)

    def _write_on(self, conn: Connection) -> None:
        while True:
            with self._changed:
                self._changed.wait(1 / self._per_second if self._per_second else None)
                if self._per_second:
                    offers.create(conn, self._root, note=f"written {self.written}", size=self._size)
                    self.written += 1
