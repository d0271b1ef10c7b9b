"""The backup-worker: in QuoteNode a second instance of the backend.

Here it holds its connections: whoever replaces the database has a second process to reckon with.
"""

import logging
import threading

import psycopg

from standin.database import Connection, connect

SECONDS_BETWEEN_LOOKS = 2

log = logging.getLogger(__name__)


def work() -> None:
    pause = threading.Event()
    while not pause.wait(SECONDS_BETWEEN_LOOKS):
        try:
            with connect(autocommit=True) as first, connect(autocommit=True) as second:
                log.info("Connected")
                _look_for_work(pause, first, second)
        except psycopg.Error as exc:
            log.warning("Lost the database, trying again: %s", type(exc).__name__)


def _look_for_work(pause: threading.Event, *connections: Connection) -> None:
    while not pause.wait(SECONDS_BETWEEN_LOOKS):
        for conn in connections:
            conn.execute("SELECT count(*) FROM open_offers")
