"""A dump is loaded beside the live database: the copy equals the source, nobody else gets in, and the live database never notices."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.dump_head import read_head
from quotenode_backup.runner.postgres.restore import preflight, scratch
from quotenode_backup.runner.postgres.restore.statements import StatementSession
from tests.integration.postgres import OWNER, Database, Server
from tests.integration.restored_databases import Restore, administrator, chunked, client, execute_as
from tests.integration.waiting import eventually, pause

ODD = "Größe \"1\"; DROP 'x' \\ %s {} 日本"
ODD_63 = "ä" * 31 + "x"
RICH = [
    "CREATE TABLE a_side (id int PRIMARY KEY, b int)",
    "CREATE TABLE b_side (id int PRIMARY KEY, a int REFERENCES a_side)",
    "INSERT INTO a_side SELECT n, n FROM generate_series(1, 50) n",
    "INSERT INTO b_side SELECT n, n FROM generate_series(1, 50) n",
    "ALTER TABLE a_side ADD FOREIGN KEY (b) REFERENCES b_side DEFERRABLE INITIALLY DEFERRED",
    "GRANT SELECT ON customers TO rst_reader",
    "ALTER TABLE products ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE products FORCE ROW LEVEL SECURITY",
    "CREATE POLICY only_cheap ON products FOR SELECT TO rst_reader USING (price < 5)",
    "COMMENT ON POLICY only_cheap ON products IS 'for readers'",
    "COMMENT ON TABLE customers IS 'it''s ours'",
    "COMMENT ON COLUMN customers.note IS 'free text'",
    "CREATE FUNCTION careful() RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT 1'",
    "CREATE UNLOGGED TABLE cache (k text)",
    "DO $$ BEGIN EXECUTE 'GRANT SELECT ON LARGE OBJECT ' || (SELECT min(oid) FROM pg_largeobject_metadata) || ' TO rst_reader'; END $$",
    "CREATE TABLE parent (n int)",
    "CREATE TABLE child () INHERITS (parent)",
    "INSERT INTO child VALUES (1), (2)",
    "CREATE TABLE looks_like_a_setting (line text)",
    "INSERT INTO looks_like_a_setting VALUES ('SET transaction_timeout = 0;'), (E'\\\\.'), (E'\\\\! touch /tmp/never')",
]


def role_there(server: Server, name: str) -> None:
    if not server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", name):
        server.create_role(name)


def rich(server: Server, name: str) -> Database:
    role_there(server, "rst_reader")
    database = server.seeded_database(name)
    execute_as(database, RICH, OWNER)
    return database


@pytest.fixture
def restore(folder: Path, server: Server, database: Database) -> Iterator[Restore]:
    """As an owner without CREATEDB, with the administrator's credentials."""
    restore = Restore(folder, database, administrator(database))
    yield restore
    restore.clear()


@pytest.mark.parametrize("dumped_by", [15, 17])
@pytest.mark.parametrize("major", [15, 17, 18])
def test_what_is_loaded_equals_the_source(
    folder: Path, servers: Callable[[int], Server], major: int, dumped_by: int
) -> None:
    if dumped_by < major and major != 18:
        pytest.skip("pg_dump dumps no newer server")
    source = rich(servers(min(major, dumped_by) if major == 18 else major), f"source_{dumped_by}_{major}")
    database = source if source.server.major == major else rich(servers(major), f"source_{dumped_by}_{major}")
    dump = Restore(folder / "dump", source, administrator(source)).dump(dumped_by)
    restore = Restore(folder / "load", database, administrator(database))
    marker, counted = restore.load(dump)
    assert counted.tables > 10
    loaded, expected = restore.everything(restore.scratch), Restore(folder / "source", source).everything()
    shown_otherwise = {"constraints", "extensions", "views", "privileges"}  # 17 has MAINTAIN, 18 names NOT NULL
    of_the_major = shown_otherwise if source.server.major != major else set()
    assert {what: loaded[what] for what in loaded if what not in of_the_major} == {
        what: expected[what] for what in expected if what not in of_the_major
    }
    found = restore.found(restore.scratch)
    assert found
    assert found.marker == marker
    assert (marker.state, marker.oid, marker.has_unlogged) == ("Complete", found.oid, True)
    restore.clear()


@pytest.mark.parametrize("name", [ODD, ODD_63], ids=["quotes", "63 bytes"])
def test_a_database_may_have_any_name(folder: Path, server: Server, name: str) -> None:
    database = server.seeded_database(name)
    restore = Restore(folder, database, administrator(database))
    before = restore.everything()
    restore.load(restore.dump())
    assert restore.swap() == "New"
    assert restore.everything() == before
    assert len(restore.kept.encode()) <= 63
    assert restore.everything(restore.kept) == before
    restore.clear()


def test_an_owner_who_may_create_databases_needs_no_administrator(folder: Path, server: Server) -> None:
    password = server.create_role("rst_creator")
    server.execute("ALTER ROLE rst_creator CREATEDB")
    server.create_database("rst_created", "rst_creator")
    database = Database(server, "rst_created", "rst_creator", password)
    execute_as(database, ["CREATE TABLE t AS SELECT 1 AS n"], "rst_creator")
    restore = Restore(folder, database)
    restore.load(restore.dump())
    assert restore.swap() == "New"
    assert database.execute("SELECT n FROM t") == [(1,)]
    restore.clear()


def test_an_owner_without_createdb_is_told_so(folder: Path, database: Database) -> None:
    restore = Restore(folder, database)
    with pytest.raises(RunFailed, match="CREATEDB") as raised:
        restore.create()
    assert raised.value.reason is Reason.PERMISSION_DENIED
    assert "adminCredentialsSecretRef" in raised.value.message


def test_nobody_else_gets_into_the_copy(restore: Restore) -> None:
    password = restore.database.server.create_role(f"exporter_{restore.scratch}")
    restore.load(restore.dump())
    exporter = Database(restore.database.server, restore.scratch, f"exporter_{restore.scratch}", password)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        client(exporter)


def test_a_copy_of_an_earlier_attempt_is_replaced(restore: Restore) -> None:
    first = restore.create()
    restore.attempt = 2
    assert restore.create() != first
    restore.attempt = 1
    with pytest.raises(RunFailed) as raised:
        restore.create()
    assert raised.value.reason is Reason.SUPERSEDED


def test_a_database_of_somebody_else_with_our_name_stays(restore: Restore) -> None:
    server = restore.database.server
    server.create_database(restore.scratch, OWNER)
    server.execute(f"COMMENT ON DATABASE {restore.scratch} IS 'mine'")
    with pytest.raises(RunFailed) as raised:
        restore.create()
    assert raised.value.reason is Reason.DATABASE_IN_THE_WAY
    scratch.remove(restore.identities, restore.uid)
    assert restore.found(restore.scratch)


def test_a_name_that_pg_hba_refuses_is_told_with_the_line_to_add(folder: Path, own_server: Server) -> None:
    database = own_server.seeded_database("live")
    hba = own_server.data / "pg_hba.conf"
    hba.write_text("local all postgres trust\nhost live,postgres all all scram-sha-256\n")
    own_server.execute("SELECT pg_reload_conf()")
    restore = Restore(folder / "restore", database, administrator(database))
    eventually(lambda: restore.found(), "the server has read the file")
    with pytest.raises(RunFailed, match=r"host .* scram-sha-256") as raised:
        restore.create()
    assert raised.value.reason is Reason.CREDENTIALS_REFUSED
    assert not restore.found(restore.scratch)


def test_a_table_with_another_number_of_rows_is_found_and_the_copy_dropped(restore: Restore) -> None:
    with pytest.raises(RunFailed, match=r"public\.customers has 506 and should have 507") as raised:
        restore.load(restore.dump(), expected={("public", "customers"): 507})
    assert raised.value.reason is Reason.ROWS_DIFFER
    assert not restore.found(restore.scratch)


def test_a_load_over_its_budget_is_ended_and_dropped(restore: Restore) -> None:
    with pytest.raises(RunFailed, match="can spare") as raised:
        restore.load(restore.dump(), budget=1 << 20, chunks=endless)
    assert raised.value.reason is Reason.NO_SPACE
    assert not restore.found(restore.scratch)
    assert not [name for _, name, _ in restore.database.sessions() if name == restore.scratch]


def endless(dump: bytes) -> Iterator[bytes]:
    """The rest never comes."""
    yield dump[: len(dump) // 2]
    while True:
        pause()
        yield b""


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.99])
def test_a_truncated_dump_never_becomes_a_copy(restore: Restore, part: float) -> None:
    dump = restore.dump()
    with pytest.raises(RunFailed):
        restore.load(dump, chunks=lambda whole: chunked(whole[: int(len(whole) * part)]))
    assert not restore.found(restore.scratch)


@pytest.mark.parametrize("major", [15, 17])
def test_a_dump_that_fails_to_load_leaves_nothing(folder: Path, servers: Callable[[int], Server], major: int) -> None:
    """As `--exit-on-error`, also where psql loads: without it tables would lack their row policies."""
    server = servers(major)
    database = server.seeded_database(f"failing_{major}")
    role_there(server, "rst_passing")
    execute_as(database, ["CREATE POLICY p ON customers TO rst_passing USING (true)"], OWNER)
    restore = Restore(folder, database, administrator(database))
    dump = restore.dump(17)
    execute_as(database, ["DROP POLICY p ON customers"], OWNER)
    server.execute("DROP ROLE rst_passing")
    with pytest.raises(RunFailed, match="rst_passing") as raised:
        restore.load(dump)
    assert raised.value.reason is Reason.LOAD_FAILED
    assert not restore.found(restore.scratch)
    restore.clear()


def test_extensions_are_created_by_the_administrator(restore: Restore) -> None:
    database = restore.database
    database.execute("CREATE SCHEMA tools; CREATE EXTENSION file_fdw WITH SCHEMA tools; CREATE EXTENSION pg_trgm")
    database.execute(f"ALTER SCHEMA tools OWNER TO {OWNER}")
    restore.load(restore.dump())
    assert restore.everything(restore.scratch) == restore.everything()


def test_thousands_of_large_objects_are_loaded(restore: Restore) -> None:
    execute_as(restore.database, ["SELECT lo_from_bytea(0, 'x') FROM generate_series(1, 20000)"], OWNER)
    restore.load(restore.dump())
    [(count,)] = restore.database.server.execute("SELECT count(*) FROM pg_largeobject_metadata", restore.scratch)
    assert count > 20000


@pytest.mark.parametrize("major", [15, 17, 18])
def test_what_is_lacking_is_said_before(folder: Path, servers: Callable[[int], Server], major: int) -> None:
    server = servers(major)
    database = server.seeded_database(f"lacking_{major}")
    role_there(server, "rst Gone")
    execute_as(database, ['GRANT SELECT ON customers TO "rst Gone"'], OWNER)
    database.execute("CREATE EXTENSION file_fdw")
    database.server.execute(f"ALTER DATABASE {database.name} SET log_statement = 'none'")
    restore = Restore(folder, database)
    if major == 18:
        pytest.skip("the image has no client that dumps it")
    head, _ = read_head(chunked(restore.dump()))
    execute_as(database, ['REVOKE ALL ON customers FROM "rst Gone"'], OWNER)
    server.execute('DROP ROLE "rst Gone"')
    with StatementSession(restore.owner, database.name) as session:
        me = preflight.role(session, OWNER)
        others, offered = preflight.other_roles(session), preflight.offered(session)
        found = restore.found()
        assert found
        settings = preflight.live_settings(session, found.oid)
    obstacles = [
        *preflight.role_obstacles(restore.owner, head, me, others),
        *preflight.extension_obstacles(restore.owner, head, me, None, offered),
        *preflight.privilege_obstacles(restore.identities, me),
        *preflight.setting_obstacles(restore.identities, settings),
        *preflight.version_obstacles(restore.owner, head, 140000),
    ]
    messages = [obstacle.message for obstacle in obstacles]
    assert 'CREATE ROLE "rst Gone";' in messages[0]
    assert "file_fdw" in messages[1]
    assert "CREATEDB" in messages[2]
    assert "log_statement" in messages[3]
    assert "upgrade the server" in messages[4]
    assert len(messages) == 5
    restore.clear()
