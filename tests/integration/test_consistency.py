"""What is in the bundle is what was in the database, whatever migrations do between a snapshot and the locks of pg_dump."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from quotenode_backup.domain.reasons import Reason
from tests.integration.bundles import command
from tests.integration.held import dump_under_way
from tests.integration.pod import Outcome
from tests.integration.postgres import OWNER, OWNER_PASSWORD, Database, Server, running
from tests.integration.site import Site
from tests.integration.waiting import eventually

ANOTHER_TRY = "Trying again with a new snapshot"
PRICES = """
    SET ROLE quotenode;
    CREATE TABLE prices (id int PRIMARY KEY, net numeric NOT NULL, gross numeric NOT NULL);
    INSERT INTO prices SELECT n, n, 2 * n FROM generate_series(1, 5000) n;
    CREATE TABLE months (month int, total int) PARTITION BY LIST (month);
    CREATE TABLE january PARTITION OF months FOR VALUES IN (1);
    INSERT INTO months SELECT 1, n FROM generate_series(1, 1000) n;
    CREATE SCHEMA live;
    CREATE TABLE live.stock AS SELECT n FROM generate_series(1, 700) n;
    CREATE MATERIALIZED VIEW dear AS SELECT id FROM prices WHERE net > 4000;
    CREATE TYPE size AS ENUM ('small', 'large');
    CREATE TABLE boxes AS SELECT 'small'::size AS size FROM generate_series(1, 10);
    CREATE FUNCTION cheap(id int) RETURNS bool LANGUAGE sql AS 'SELECT id < 10';
    CREATE VIEW cheap_ones AS SELECT id FROM prices WHERE cheap(id);
"""
KEPT = "CREATE TEMP TABLE kept AS SELECT * FROM prices"
REWRITES = {
    "emptied and filled": [KEPT, "TRUNCATE prices", "INSERT INTO prices SELECT * FROM kept"],
    "a column with a volatile default": ["ALTER TABLE prices ADD COLUMN code uuid DEFAULT gen_random_uuid()"],
    "a column of another type": ["ALTER TABLE prices ALTER COLUMN gross TYPE double precision"],
    "unlogged": ["ALTER TABLE prices SET UNLOGGED"],
    "clustered": ["CLUSTER prices USING prices_pkey"],
    "swapped for a new one": [
        "CREATE TABLE prices_new (LIKE prices INCLUDING ALL)",
        "INSERT INTO prices_new SELECT * FROM prices",
        "ALTER TABLE prices RENAME TO prices_old",
        "ALTER TABLE prices_new RENAME TO prices",
    ],
    "dropped and made again": [
        KEPT,
        "DROP TABLE prices CASCADE",
        "CREATE TABLE prices AS SELECT * FROM kept",
    ],
    "columns that swap their names": [
        "ALTER TABLE prices RENAME net TO other",
        "ALTER TABLE prices RENAME gross TO net",
        "ALTER TABLE prices RENAME other TO gross",
    ],
    "a partition emptied and filled": [
        "CREATE TEMP TABLE kept AS SELECT * FROM january",
        "TRUNCATE months",
        "INSERT INTO months SELECT * FROM kept",
    ],
    "a partition detached and another attached": [
        "ALTER TABLE months DETACH PARTITION january",
        "CREATE TABLE january_new PARTITION OF months FOR VALUES IN (1)",
        "INSERT INTO months SELECT * FROM january",
    ],
    "a schema swapped for a new one": [
        "LOCK TABLE live.stock",
        "CREATE SCHEMA fresh",
        "CREATE TABLE fresh.stock AS SELECT * FROM live.stock",
        "ALTER SCHEMA live RENAME TO retired",
        "ALTER SCHEMA fresh RENAME TO live",
    ],
    "a function that a view names": ["LOCK TABLE prices", "ALTER FUNCTION cheap RENAME TO affordable"],
    "a label of an enum": ["LOCK TABLE prices", "ALTER TYPE size RENAME VALUE 'small' TO 'tiny'"],
    "a materialized view with its table": ["LOCK TABLE prices", "REFRESH MATERIALIZED VIEW dear"],
}


@pytest.fixture
def prices(site: Site) -> Site:
    site.database.execute(PRICES)
    return site


@contextmanager
def migration(site: Site, statements: list[str]) -> Iterator[psycopg.Connection]:
    """A transaction that has done all this and is not committed yet."""
    with site.database.connect() as connection:
        connection.execute(f"SET ROLE {OWNER}")
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement.encode())
        yield connection


def migrated(site: Site, statements: list[str]) -> Outcome:
    """A backup whose pg_dump waits, with its snapshot, for a migration that is committed then."""
    with migration(site, statements) as connection:
        pod = site.start()
        eventually(site.database.waits_for_lock, "pg_dump waits for the migration", 60)
        connection.execute("COMMIT")
        return pod.wait(120)


@pytest.mark.parametrize("statements", REWRITES.values(), ids=REWRITES)
def test_what_a_migration_rewrites_after_the_snapshot_is_in_the_bundle(prices: Site, statements: list[str]) -> None:
    outcome = migrated(prices, statements)
    prices.assert_equals(prices.open(prices.destination / outcome.succeeded().path))


def test_what_a_migration_rewrites_after_the_snapshot_is_in_the_bundle_of_an_older_server_too(
    folder: Path, servers: Callable[[int], Server]
) -> None:
    site = Site(folder / "site", servers(15).seeded_database("migrated_15"))
    site.database.execute(PRICES)
    outcome = migrated(site, REWRITES["emptied and filled"])
    site.assert_equals(site.open(site.destination / outcome.succeeded().path))


def test_a_migration_that_waits_for_the_dump_costs_no_other_try(big_site: Site) -> None:
    """It stands behind the dump's locks, and the dump is whole without it."""
    with dump_under_way(big_site) as pod:
        emptying = threading.Thread(target=big_site.database.execute, args=("TRUNCATE ballast",))
        emptying.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE query = 'TRUNCATE ballast' AND wait_event_type = 'Lock'"
        eventually(lambda: big_site.database.server.query(waits), "the migration waits for the dump")
    outcome = pod.wait()
    emptying.join()
    opened = big_site.open(big_site.destination / outcome.succeeded().path)
    assert ANOTHER_TRY not in outcome.log
    opened.restore_into(big_site.database.server, "before_truncate")
    found = big_site.database.server.execute("SELECT count(*) FROM ballast", "before_truncate")
    big_site.database.server.drop_database("before_truncate")
    assert found == [(150_000,)]


def test_a_lock_that_is_held_for_longer_than_pg_dump_waits_is_waited_for(prices: Site) -> None:
    """As by a migration of some minutes."""
    with migration(prices, REWRITES["emptied and filled"]) as connection:
        pod = prices.start()
        eventually(lambda: ANOTHER_TRY in pod.log, "pg_dump has given up once", 60)
        eventually(prices.database.waits_for_lock, "pg_dump waits again")
        connection.execute("COMMIT")
        outcome = pod.wait()
    prices.assert_equals(prices.open(prices.destination / outcome.succeeded().path))


def test_a_label_that_is_renamed_while_rows_are_read_costs_the_attempt(big_site: Site) -> None:
    """No lock keeps anybody from that, and the rows would name a label that the dumped type has not."""
    big_site.database.execute(PRICES)
    with dump_under_way(big_site) as pod:
        big_site.database.execute("ALTER TYPE size RENAME VALUE 'small' TO 'tiny'")
    pod.wait().failed(Reason.TABLE_REWRITTEN, "public.size")
    big_site.assert_nothing_left_behind()
    big_site.works_again()


def test_a_table_of_an_extension_that_is_emptied_while_rows_are_read_costs_the_attempt(big_site: Site) -> None:
    """pg_dump reads the rows that an extension keeps as its configuration, and does not lock them before."""
    for statement in (
        "CREATE TABLE job AS SELECT n FROM generate_series(1, 5000) n",
        "ALTER TABLE job OWNER TO quotenode",
        "ALTER EXTENSION plpgsql ADD TABLE job",
        "UPDATE pg_extension SET extconfig = ARRAY['job'::regclass::oid], extcondition = ARRAY[''] WHERE extname = 'plpgsql'",
    ):
        big_site.database.execute(statement)
    with dump_under_way(big_site) as pod:
        big_site.database.execute(
            "BEGIN; CREATE TEMP TABLE k AS TABLE job; TRUNCATE job; INSERT INTO job TABLE k; COMMIT"
        )
    pod.wait().failed(Reason.TABLE_REWRITTEN, "public.job")
    big_site.assert_nothing_left_behind()
    assert big_site.start().wait().succeeded()


@pytest.mark.parametrize("catalog", ["pg_attribute", "pg_class", "pg_proc", "pg_type"])
def test_whoever_rewrites_a_catalog_is_not_waited_for_without_an_end(prices: Site, catalog: str) -> None:
    """He waits for whoever has read it, pg_dump for him, and new sessions for all of them."""
    with migration(prices, ["LOCK TABLE prices"]) as connection:
        pod = prices.start()
        eventually(prices.database.waits_for_lock, "pg_dump waits for the migration")
        rewriting = threading.Thread(target=prices.database.execute, args=(f"VACUUM FULL {catalog}",))
        rewriting.start()
        connection.execute("COMMIT")
        outcome = pod.wait()
        rewriting.join()
    prices.assert_equals(prices.open(prices.destination / outcome.succeeded().path))


def test_a_server_without_room_for_the_locks_is_told_at_once(folder: Path) -> None:
    settings = {"max_locks_per_transaction": "10", "max_connections": "10", "max_wal_senders": "0"}
    with running(Server(17, folder / "small", settings)) as server:
        site = Site(folder / "site", server.seeded_database("small"))
        many_tables(server, "small", step=50, count=3000)
        site.backup().failed(Reason.DUMP_FAILED, "max_locks_per_transaction")


def test_what_a_standby_does_not_have_is_noted(folder: Path) -> None:
    with running(Server(17, folder / "primary")) as primary:
        site = Site(folder / "site", primary.seeded_database("quotenode"))
        site.database.execute("CREATE UNLOGGED TABLE sessions AS SELECT n FROM generate_series(1, 10) n")
        site.database.execute("ALTER TABLE sessions OWNER TO quotenode")
        primary.stop(signal.SIGINT)
        standby = Server(17, folder / "standby")
        command(["cp", "-a", primary.folder, standby.folder])
        (standby.data / "standby.signal").touch()
        command(["chown", "postgres", standby.data / "standby.signal"])
        standby.start()
        try:
            outcome = Site(folder / "elsewhere", Database(standby, "quotenode", OWNER, OWNER_PASSWORD)).start().wait()
        finally:
            standby.stop()
        primary.start()
    outcome.succeeded()
    assert outcome.result.notes == 1
    assert "1 note" in outcome.result.message


@contextmanager
def over_and_over(site: Site, *statements: str) -> Iterator[None]:
    """Somebody does this all the time."""
    enough, begun = threading.Event(), threading.Event()

    def work() -> None:
        with site.database.connect() as connection:
            while not enough.is_set():
                for statement in statements:
                    connection.execute(statement.encode())
                begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        begun.wait(20)
        yield
    finally:
        enough.set()
        thread.join()


def test_ordinary_writes_and_upkeep_cost_no_other_try(prices: Site) -> None:
    writes = (
        "UPDATE prices SET net = net + 1 WHERE id < 50",
        "DELETE FROM prices WHERE id = 4999; INSERT INTO prices VALUES (4999, 1, 2)",
        "CREATE TEMP TABLE IF NOT EXISTS mine (a int); TRUNCATE mine; DROP TABLE mine",
        "CREATE INDEX by_net ON prices (net); DROP INDEX by_net",
        "REFRESH MATERIALIZED VIEW dear",
        "ALTER SEQUENCE offers_id_seq RESTART",
    )
    with over_and_over(prices, *writes), over_and_over(prices, "ANALYZE", "VACUUM prices"):
        for _ in range(3):
            outcome = prices.start().wait()
            outcome.succeeded()
            assert ANOTHER_TRY not in outcome.log


def test_a_table_that_never_stands_still_is_named_when_half_of_the_time_is_over(prices: Site) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=16)).isoformat()
    with over_and_over(prices, "TRUNCATE live.stock"):
        outcome = prices.start(prices.plan(deadline=soon)).wait()
    outcome.failed(Reason.TABLE_REWRITTEN, "live.stock", within=16)
    prices.assert_nothing_left_behind()
    prices.works_again()


def test_a_run_can_be_stopped_while_it_waits_for_a_migration(prices: Site) -> None:
    with migration(prices, ["LOCK TABLE prices"]):
        soon = (datetime.now(UTC) + timedelta(seconds=6)).isoformat()
        outcome = prices.start(prices.plan(deadline=soon)).wait(20)
    outcome.failed(Reason.DEADLINE_EXCEEDED)
    prices.assert_nothing_left_behind()


def test_ten_thousand_tables_at_default_settings(folder: Path) -> None:
    with running(Server(17, folder / "many", {"max_connections": "100"})) as server:
        site = Site(folder / "site", server.seeded_database("many"), has_files=False)
        many_tables(server, "many")
        site.database.execute(PRICES)
        outcome = migrated(site, REWRITES["emptied and filled"])
        opened = site.open(site.destination / outcome.succeeded().path)
        listing = command(["pg_restore", "--list", opened.dump]).stdout
        assert listing.count(b" TABLE DATA many t") == 10_000


def many_tables(server: Server, database: str, step: int = 500, count: int = 10_000) -> None:
    """A few at a time: each transaction has room for so many locks only."""
    with server.connect(database) as connection:
        connection.execute(f"SET ROLE {OWNER}")
        connection.execute("CREATE SCHEMA many")
        for start in range(0, count, step):
            connection.execute(
                f"DO $$ BEGIN FOR n IN {start} .. {start + step - 1} LOOP"
                " EXECUTE format('CREATE TABLE many.t%s (a int, b text)', n); END LOOP; END $$".encode()
            )


def test_what_pg_dump_warns_of_is_noted_counted_and_logged(site: Site) -> None:
    """Such as what a role that is no superuser leaves out."""
    site.database.execute(
        "CREATE SUBSCRIPTION elsewhere CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)"
    )
    outcome = site.start().wait()
    site.database.execute("DROP SUBSCRIPTION elsewhere")
    stored = outcome.succeeded()
    assert outcome.result.notes == 1
    assert "1 note" in outcome.result.message
    manifest = site.open(site.destination / stored.path).manifest
    assert manifest["noteCount"] == 1
    assert "'backup.dump'" in str(manifest["notes"])
    assert "subscriptions not dumped" in str(manifest["notes"])
    assert "subscriptions not dumped" in outcome.log
