"""Where the database is: host, port and name come from libpq's own PG* variables, the credentials from files.

DATABASE_SECRET names the folder of a mounted Secret. Without it libpq's defaults hold.
"""

import os
import time
from pathlib import Path
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(**options: Any) -> Connection:
    return psycopg.connect(**_credentials(), **options)


def connect_when_up(within_seconds: float = 120) -> Connection:
    """At start-up PostgreSQL may still be on its way."""
    give_up = time.monotonic() + within_seconds
    while True:
        try:
            return connect(connect_timeout=5)
        except psycopg.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.3)


def _credentials() -> dict[str, Any]:
    folder = os.environ.get("DATABASE_SECRET")
    if folder is None:
        return {}
    return {"user": _read(folder, "username"), "password": _read(folder, "password")}


def _read(folder: str, key: str) -> str:
    return Path(folder, key).read_text(encoding="utf-8").rstrip("\n")
