"""The database half of a restore, driven as the runner's commands drive it, with the clients of the shipped image."""

import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from quotenode_backup.contract.plans import Compression, PlannedDatabase
from quotenode_backup.domain.restore_names import kept_name, scratch_name
from quotenode_backup.runner.postgres import clients
from quotenode_backup.runner.postgres import server as runner
from quotenode_backup.runner.postgres.clients import database_environment
from quotenode_backup.runner.postgres.credentials import Credentials, write_password_file
from quotenode_backup.runner.postgres.dump_head import read_head
from quotenode_backup.runner.postgres.restore import databases, preflight, programs, scratch
from quotenode_backup.runner.postgres.restore.databases import Database as Found
from quotenode_backup.runner.postgres.restore.growth import GrowthWatch
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.restore.load import Load, LoadOptions
from quotenode_backup.runner.postgres.restore.loading import load_into_scratch
from quotenode_backup.runner.postgres.restore.marker import Marker
from quotenode_backup.runner.postgres.restore.row_counts import Counted, Rows
from quotenode_backup.runner.postgres.restore.statements import StatementSession
from quotenode_backup.runner.postgres.restore.swap import SwapPlan, open_swap, plan_swap, plan_undo
from quotenode_backup.runner.postgres.sessions import MAINTENANCE
from quotenode_backup.runner.process.display import Redactor
from quotenode_backup.runner.process.environment import child_environment
from quotenode_backup.runner.process.mounts import Mounts
from tests.integration.bundles import content
from tests.integration.postgres import Database
from tests.integration.site import HOST

SHIPPED = Path("/shipped/usr/lib/postgresql")
SHA256 = "5" * 64
PLENTY = 1 << 40
CHUNK = 1 << 18


def server_as(database: Database, user: str, password: str) -> runner.Server:
    planned = PlannedDatabase(
        host=HOST,
        port=database.server.port,
        name=database.name,
        ssl_mode="prefer",
        compression=Compression.ZSTD,
        credentials_secret="quotenode-db",
        username_key="username",
        password_key="password",
    )
    return runner.Server(planned, Credentials(user, password), None, Redactor())


def administrator(database: Database) -> runner.Server:
    name = f"admin_{uuid.uuid4().hex[:8]}"
    password = database.server.create_role(name)
    database.server.execute(f"ALTER ROLE {name} SUPERUSER")
    return server_as(database, name, password)


@dataclass
class Restore:
    """A restore of one database."""

    folder: Path
    database: Database
    admin: runner.Server | None = None
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempt: int = 1

    def __post_init__(self) -> None:
        self.mounts = replace(Mounts.below(self.folder), clients=SHIPPED)
        self.mounts.private.mkdir(parents=True, exist_ok=True)

    @property
    def owner(self) -> runner.Server:
        return server_as(self.database, self.database.user, self.database.password)

    @property
    def identities(self) -> Identities:
        return Identities(self.owner, self.admin)

    @property
    def scratch(self) -> str:
        return scratch_name(self.uid)

    @property
    def kept(self) -> str:
        return kept_name(self.database.name, self.uid)

    @property
    def marker(self) -> Marker:
        return Marker(
            state="Loading",
            database=self.database.name,
            restore_uid=self.uid,
            attempt=self.attempt,
            bundle_sha256=SHA256,
            expires=datetime.now(UTC) + timedelta(days=7),
        )

    def environment(self, server: runner.Server) -> dict[str, str]:
        password_file = write_password_file(self.mounts, server.planned, server.credentials.password)
        return database_environment(server, child_environment(self.mounts), password_file)

    def dump(self, major: int | None = None) -> bytes:
        """As a backup writes it: to a pipe, by the client that a backup of this server uses."""
        role = self.identities.privileged  # row policies that are forced keep even the owner from dumping
        known = clients.installed(SHIPPED)
        client = clients.choose(major or min(self.database.server.major, known[-1].major), known, HOST)
        target = clients.connection_string(self.database.name, self.database.server.major * 10000)
        command = [client.pg_dump, "--format=custom", "--compress=1", f"--dbname={target}"]
        done = subprocess.run(command, env=self.environment(role), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def found(self, name: str | None = None) -> Found | None:
        with self.session() as session:
            return databases.find(session, name or self.database.name)

    def session(self, database: str = MAINTENANCE) -> StatementSession:
        return StatementSession(self.identities.privileged, database)

    def create(self) -> int:
        live = self.found()
        assert live
        scratch.create(self.identities, scratch.Like.of(live), self.marker)
        created = self.found(self.scratch)
        assert created
        return created.oid

    def load(
        self,
        dump: bytes,
        expected: Rows | None = None,
        budget: int = PLENTY,
        jobs: int = 2,
        chunks: Callable[[bytes], Iterator[bytes]] | None = None,
    ) -> tuple[Marker, Counted]:
        oid = self.create()
        head, _ = read_head(chunked(dump))
        with self.session() as watched, StatementSession(self.owner, self.database.name) as live:
            version = live.server_version
            me = preflight.role(live, self.database.user)
            available = preflight.offered(live)
            client = programs.choose(head.client_major, clients.installed(SHIPPED))
            used = programs.Programs(client, self.environment(self.owner), self.owner.redact, self.scratch, version)
            options = LoadOptions(jobs=jobs, by_admin=preflight.for_admin(head, me, available), expected=expected)
            load = Load(self.owner, self.admin, used, head, options)
            growth = GrowthWatch(watched, oid, budget)
            given = (chunks or chunked)(dump)
            return load_into_scratch(self.identities, load, given, self.marker, growth, lambda: None)

    def plan(self) -> SwapPlan:
        live, loaded = self.found(), self.found(self.scratch)
        assert live
        return plan_swap(live, loaded, int(self.database.server.system_identifier), self.marker)

    def undo_plan(self, kept: str) -> SwapPlan:
        live, before = self.found(), self.found(kept)
        assert live
        assert before
        return plan_undo(live, before, int(self.database.server.system_identifier), self.marker)

    def swap(self, plan: SwapPlan | None = None) -> str:
        with open_swap(self.identities, plan or self.plan()) as swap:
            return swap.commit().value

    def everything(self, name: str | None = None) -> dict[str, object]:
        with self.database.server.connect(name or self.database.name) as connection:
            return {**content(connection), **{what: connection.execute(q).fetchall() for what, q in MORE_FACTS.items()}}

    def properties(self, name: str | None = None) -> list[tuple[object, ...]]:
        return self.database.server.query(PROPERTIES, name or self.database.name)

    def clear(self) -> None:
        for name in (self.database.name, self.scratch, self.kept):
            self.database.server.drop_database(name)


def chunked(dump: bytes) -> Iterator[bytes]:
    for start in range(0, len(dump), CHUNK):
        yield dump[start : start + CHUNK]


def execute_as(database: Database, statements: Sequence[str], role: str) -> None:
    with database.connect() as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        for statement in statements:
            connection.execute(statement.encode())


def client(database: Database, name: str | None = None, **how: object) -> psycopg.Connection:
    """As the application connects."""
    return psycopg.connect(
        host=HOST,
        port=database.server.port,
        user=database.user,
        password=database.password,
        dbname=name or database.name,
        autocommit=True,
        **how,  # type: ignore[arg-type]
    )


MORE_FACTS = {
    "privileges": """
        SELECT c.oid::regclass::text, a.grantor::regrole::text, a.grantee::regrole::text, a.privilege_type
        FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1, 2, 3, 4""",
    "privileges of large objects": """
        SELECT m.oid::bigint, a.grantee::regrole::text, a.privilege_type
        FROM pg_largeobject_metadata m, aclexplode(m.lomacl) a ORDER BY 1, 2, 3""",
    "policies": "SELECT tablename, policyname, roles::text, cmd, qual FROM pg_policies ORDER BY 1, 2",
    "row security": """
        SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1""",
    "comments": """
        SELECT classoid::regclass::text, pg_describe_object(classoid, objoid, objsubid), description FROM pg_description
        WHERE objoid >= 16384 ORDER BY 1, 2, 3""",
    "extensions": "SELECT extname, extversion, extnamespace::regnamespace::text FROM pg_extension ORDER BY 1",
    "settings of functions": "SELECT proname, proconfig::text FROM pg_proc WHERE proconfig IS NOT NULL AND oid >= 16384 ORDER BY 1",
}
PROPERTIES = """
    SELECT d.datname, d.datdba::regrole::text, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, d.datconnlimit,
           shobj_description(d.oid, 'pg_database'),
           (SELECT array_agg(r.setrole::regrole::text || r.setconfig::text ORDER BY 1) FROM pg_db_role_setting r WHERE r.setdatabase = d.oid),
           (SELECT array_agg(DISTINCT a.grantee::regrole::text || a.privilege_type || a.is_grantable)
            FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a)
    FROM pg_database d WHERE d.datname = %s
"""
