"""The copy takes the live database's name in one transaction: whoever dies whenever, one whole database has the name, and everybody can tell which."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from quotenode_backup.contract.plans import AuditRow, InitiatedBy, RowStatus
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.restore import databases, leftovers, properties, scratch
from quotenode_backup.runner.postgres.restore.carry_over import carry_over
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.restore.side import Side, Sides, end_open_swap, side
from quotenode_backup.runner.postgres.restore.swap import open_swap
from tests.integration.postgres import OWNER, Database, Server
from tests.integration.processes import freeze
from tests.integration.restored_databases import Restore, administrator, client, execute_as
from tests.integration.waiting import eventually, pause

ROOT = Path(__file__).parents[2]


@pytest.fixture
def restore(folder: Path, database: Database) -> Iterator[Restore]:
    """Loaded, and then a customer was lost."""
    yield from loaded(folder, database)


@pytest.fixture
def own_restore(folder: Path, own_server: Server) -> Iterator[Restore]:
    """On a server that may crash."""
    yield from loaded(folder / "restore", own_server.seeded_database("quotenode"))


def loaded(folder: Path, database: Database) -> Iterator[Restore]:
    restore = Restore(folder, database, administrator(database))
    restore.load(restore.dump())
    execute_as(database, ["DELETE FROM offer_lines", "CREATE TABLE added_since (n int)"], OWNER)
    yield restore
    restore.clear()


def is_restored(restore: Restore) -> bool:
    [(count,)] = restore.database.execute("SELECT count(*) FROM offer_lines")
    return bool(count)


class Pool:
    """An application that connects again at once, from several threads, and one that stays."""

    def __init__(self, database: Database) -> None:
        self._database, self._stop = database, threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(6)]
        self.connected = 0

    def __enter__(self) -> "Pool":
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.connected >= 6, "the pool is busy")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with client(self._database) as connection:
                    self.connected += 1
                    while not self._stop.is_set():
                        connection.execute("SELECT count(*) FROM pg_class")
                        pause()
            except psycopg.Error:
                pause()


def test_a_pool_that_always_reconnects_does_not_stop_the_swap(restore: Restore) -> None:
    with Pool(restore.database) as pool:
        before = pool.connected
        assert restore.swap() == "New"
        eventually(lambda: pool.connected >= before + 6, "the pool is in the restored database")
    assert is_restored(restore)


def test_what_does_not_follow_a_rename_is_copied_and_what_is_kept_describes_itself(restore: Restore) -> None:
    name = restore.database.name
    restore.database.server.execute(f"COMMENT ON DATABASE {name} IS 'production, it''s ours'")
    restore.database.server.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 33")
    for setting in (
        """search_path = "$user", 'public', 'odd "name"'""",
        "work_mem = '5MB'",
        "log_statement = 'ddl'",
        "app.theme = 'dark, light'",
    ):
        restore.database.server.execute(f"ALTER DATABASE {name} SET {setting}")
    restore.database.server.execute(f"ALTER ROLE {OWNER} IN DATABASE {name} SET statement_timeout = '80ms'")
    restore.database.server.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    restore.database.server.execute(f"GRANT CONNECT ON DATABASE {name} TO pg_monitor WITH GRANT OPTION")
    before = restore.properties()
    live, copy = restore.found(), restore.found(restore.scratch)
    assert live
    assert copy
    with restore.session() as session:
        assert properties.rehearse(session, live.oid, copy.oid, copy.name) is None
    assert restore.swap() == "New"
    assert restore.properties() == before
    kept = restore.found(restore.kept)
    assert kept
    assert kept.marker
    assert (kept.marker.state, kept.marker.comment) == ("Kept", "production, it's ours")
    undo = Restore(restore.folder, restore.database, restore.admin)
    assert undo.swap(undo.undo_plan(restore.kept)) == "New"
    assert restore.properties() == before
    assert not is_restored(restore)
    undo.clear()


def test_as_long_as_it_is_not_committed_nobody_sees_it_and_others_connect(restore: Restore) -> None:
    with open_swap(restore.identities, restore.plan()) as swap:
        swap.check()
        assert restore.found()
        assert restore.database.server.answers()
        assert side(restore.owner, swap.sides) is Side.UNKNOWN
    assert side(restore.owner, swap.sides) is Side.OLD
    assert restore.found(restore.scratch)
    assert not is_restored(restore)
    assert restore.swap() == "New"
    assert side(restore.owner, swap.sides) is Side.NEW


def process(restore: Restore) -> subprocess.Popen[str]:
    server, admin = restore.database.server, restore.admin
    assert admin
    given = {
        "major": server.major,
        "server": str(server.folder),
        "port": server.port,
        "name": restore.database.name,
        "user": restore.database.user,
        "password": restore.database.password,
        "admin": [admin.credentials.username, admin.credentials.password],
        "folder": str(restore.folder),
        "uid": restore.uid,
    }
    command = [sys.executable, "-m", "tests.integration.swapping_process"]
    path = ":".join([str(ROOT), str(ROOT / "operator"), *filter(None, sys.path)])
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": path, "QN_SHIPPED": "[]"}
    )
    assert process.stdin
    process.stdin.write(json.dumps(given) + "\n")
    process.stdin.flush()
    return process


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_runner_killed_with_the_swap_open_leaves_the_old_database_serving(restore: Restore) -> None:
    sides = restore.plan().sides
    with ended(process(restore)) as swapping:
        assert said(swapping) == "open"
    eventually(lambda: side(restore.owner, sides) is Side.OLD, "the old database has its name")
    client(restore.database).close()
    assert restore.found(restore.scratch)
    assert restore.swap() == "New"
    assert is_restored(restore)


def test_a_runner_killed_at_any_moment_leaves_one_whole_database(restore: Restore) -> None:
    sides = restore.plan().sides
    with Pool(restore.database):
        for step in range(12):
            with ended(process(restore)) as swapping:
                assert swapping.stdin
                swapping.stdin.write("\n")
                swapping.stdin.flush()
                pause(0.25 + step * 0.03)
            found = eventually(lambda: decided(restore, sides), "it is decided")
            if found is Side.NEW:
                break
            assert not is_restored(restore)
        else:
            assert restore.swap() == "New"
    assert is_restored(restore)
    assert restore.found(restore.kept)


def decided(restore: Restore, sides: Sides) -> Side | None:
    found = side(restore.owner, sides)
    return None if found is Side.UNKNOWN else found


def test_a_server_that_crashes_with_the_swap_open_comes_up_with_the_old_database(own_restore: Restore) -> None:
    server = own_restore.database.server
    with open_swap(own_restore.identities, own_restore.plan()) as swap:
        server.stop()
        assert side(own_restore.owner, swap.sides) is Side.UNKNOWN
        server.start()
        assert swap.commit() is Side.OLD
    assert not is_restored(own_restore)
    assert own_restore.swap() == "New"


def test_a_server_that_dies_before_it_has_the_commit_stays_on_the_old_side(own_restore: Restore) -> None:
    server = own_restore.database.server
    found: list[Side] = []
    with open_swap(own_restore.identities, own_restore.plan()) as swap:
        [(pid,)] = server.query("SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'")
        freeze(pid)
        thread = threading.Thread(target=lambda: found.append(swap.commit()))
        thread.start()
        server.stop()
        server.start()
        thread.join(40)
    assert found == [Side.OLD]


def test_a_commit_that_hangs_is_undecided_until_the_server_tells(own_restore: Restore) -> None:
    """A standby that must confirm and is away: the COMMIT is on the disk, and nobody sees it yet."""
    server = own_restore.database.server
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.execute("SELECT pg_reload_conf()")
    eventually(lambda: server.query("SHOW synchronous_standby_names") == [("nobody",)], "the setting is in force")
    found: list[Side] = []
    with open_swap(own_restore.identities, own_restore.plan()) as swap:
        thread = threading.Thread(target=lambda: found.append(swap.commit()))
        thread.start()
        eventually(lambda: server.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), "it waits")
        assert side(own_restore.owner, swap.sides) is Side.UNKNOWN
        server.stop()
        (server.data / "postgresql.auto.conf").write_text("")
        server.start()
        thread.join(40)
    assert found == [Side.NEW]
    assert is_restored(own_restore)


def test_what_a_dead_runner_left_open_is_ended_by_the_next(restore: Restore) -> None:
    with ended(process(restore)) as swapping:
        assert said(swapping) == "open"
        freeze(swapping.pid)
        sides = restore.plan().sides
        with restore.session() as session:
            assert end_open_swap(session, sides)
        assert side(restore.owner, sides) is Side.OLD


def never_open(identities: Identities, restore: Restore) -> None:
    with open_swap(identities, restore.plan()):
        raise AssertionError("it was opened")


def test_a_session_that_the_owner_may_not_end_is_named_before_anything_happens(restore: Restore) -> None:
    server = restore.database.server
    password = server.create_role("rst_exporter")
    server.execute("GRANT pg_monitor TO rst_exporter")
    exporter = Database(server, restore.database.name, "rst_exporter", password)
    owner = Identities(restore.owner)
    with client(exporter, application_name="postgres_exporter"), pytest.raises(RunFailed) as raised:
        never_open(owner, restore)
    assert raised.value.reason is Reason.SESSION_IN_THE_WAY
    assert "rst_exporter" in raised.value.message
    assert "pg_signal_backend" in raised.value.message
    with client(exporter, application_name="postgres_exporter"):
        assert restore.swap() == "New"
    server.execute("DROP OWNED BY rst_exporter; DROP ROLE rst_exporter")


def test_a_session_of_a_superuser_is_in_the_way_of_an_owner_and_not_of_an_administrator(restore: Restore) -> None:
    with restore.database.connect(), pytest.raises(RunFailed, match="superuser"):
        never_open(Identities(restore.owner), restore)
    with restore.database.connect():
        assert restore.swap() == "New"


def test_a_prepared_transaction_is_named(folder: Path) -> None:
    server = Server(17, folder / "server", {"max_prepared_transactions": "5"})
    server.create()
    try:
        restore = next(loaded(folder / "restore", server.seeded_database("prepared")))
        execute_as(restore.database, ["BEGIN", "CREATE TABLE half (n int)", "PREPARE TRANSACTION 'half done'"], OWNER)
        with pytest.raises(RunFailed, match="half done"), open_swap(restore.identities, restore.plan()):
            raise AssertionError("it was opened")
        assert not is_restored(restore)
    finally:
        server.stop()


def test_logical_replication_is_refused_unless_its_loss_is_allowed(folder: Path) -> None:
    server = Server(17, folder / "server", {"wal_level": "logical"})
    server.create()
    try:
        restore = next(loaded(folder / "restore", server.seeded_database("replicated")))
        restore.database.execute("SELECT pg_create_logical_replication_slot('to_warehouse', 'pgoutput')")
        restore.database.execute(
            "CREATE SUBSCRIPTION from_shop CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)"
        )
        with pytest.raises(RunFailed) as raised, open_swap(restore.identities, restore.plan()):
            raise AssertionError("it was opened")
        assert raised.value.reason is Reason.REPLICATION_IN_USE
        assert "slot to_warehouse" in raised.value.message
        assert "subscription from_shop" in raised.value.message
        with open_swap(restore.identities, restore.plan(), allow_replication_loss=True) as swap:
            assert swap.commit() is Side.NEW
    finally:
        server.stop()


def test_a_copy_that_is_not_complete_or_not_of_this_restore_is_never_swapped_in(restore: Restore) -> None:
    other = Restore(restore.folder, restore.database, restore.admin)
    with pytest.raises(RunFailed, match="no complete copy"):
        other.plan()
    other.create()
    with pytest.raises(RunFailed, match="no complete copy"):
        other.plan()
    restore.database.server.drop_database(other.scratch)


def test_an_attempt_that_was_taken_over_ends_without_changing_anything(restore: Restore) -> None:
    plan, copy = restore.plan(), restore.found(restore.scratch)
    assert copy
    with restore.session() as session:
        claimed = scratch.claim(session, copy, 2)
    assert claimed
    with pytest.raises(RunFailed) as raised:
        restore.swap(plan)
    assert raised.value.reason is Reason.SUPERSEDED
    restore.attempt = 2
    assert restore.swap() == "New"


def test_unlogged_tables_that_a_crash_has_emptied_are_loaded_again(own_restore: Restore) -> None:
    execute_as(own_restore.database, ["CREATE UNLOGGED TABLE cache AS SELECT 1 AS n"], OWNER)
    own_restore.load(own_restore.dump())
    own_restore.database.server.stop()
    own_restore.database.server.start()
    with pytest.raises(RunFailed, match="unlogged") as raised:
        own_restore.swap()
    assert raised.value.reason is Reason.NOT_LOADED


def test_only_what_carries_our_marker_and_our_name_is_ever_dropped(restore: Restore) -> None:
    server = restore.database.server
    assert restore.swap() == "New"
    server.create_database(f"{restore.database.name}_before_0123456789", OWNER)
    server.execute(f"COMMENT ON DATABASE {restore.database.name}_before_0123456789 IS 'mine'")
    kept = restore.found(restore.kept)
    assert kept
    server.create_database("marked_copy", OWNER)
    with restore.session() as session:
        server.execute(f"COMMENT ON DATABASE marked_copy IS '{(kept.comment or '').replace(chr(39), chr(39) * 2)}'")
        found = leftovers.of_target(databases.marked(session), restore.database.name)
        assert [one.name for one in found] == [restore.kept]
        now = datetime.now(UTC)
        assert not leftovers.expired(found, now)
        late = leftovers.expired(found, now + timedelta(days=8))
        assert [one.name for one in leftovers.drop_all(session, late)] == [restore.kept]
    assert restore.found("marked_copy")
    assert restore.found(f"{restore.database.name}_before_0123456789")
    for name in ("marked_copy", f"{restore.database.name}_before_0123456789"):
        server.drop_database(name)


BACKUP_LOGS = """
    CREATE TABLE backup_logs (id uuid PRIMARY KEY, status text NOT NULL, initiated_by text NOT NULL, started_at timestamptz NOT NULL,
        completed_at timestamptz, size_bytes bigint, destination text NOT NULL, checksum_sha256 text, error_message text)
"""
OWN, LATER, GONE = (f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2, 3))
INSERT = "INSERT INTO backup_logs VALUES ('{}', '{}', 'ADMIN', now(), {}, 5, 'pvc://c/', NULL, NULL)"


def test_the_restored_database_knows_every_backup_since(folder: Path, database: Database) -> None:
    execute_as(
        database, [BACKUP_LOGS, INSERT.format(OWN, "RUNNING", "NULL"), INSERT.format(GONE, "FAILED", "now()")], OWNER
    )
    restore = Restore(folder, database, administrator(database))
    restore.load(restore.dump())
    execute_as(
        database,
        [
            f"UPDATE backup_logs SET status = 'COMPLETED', completed_at = now() WHERE id = '{OWN}'",
            INSERT.format(LATER, "COMPLETED", "now()"),
            f"DELETE FROM backup_logs WHERE id = '{GONE}'",
            "ALTER TABLE backup_logs ADD added_since int",
        ],
        OWNER,
    )
    row = AuditRow(
        status=RowStatus.COMPLETED, initiated_by=InitiatedBy.ADMIN, started=datetime.now(UTC), destination="pvc://c/x"
    )
    outcome = carry_over(restore.owner, database.name, restore.scratch, (OWN, row))
    assert outcome.logged, outcome
    found = database.server.execute("SELECT id::text, status FROM backup_logs ORDER BY 1", restore.scratch)
    assert found == [(OWN, "COMPLETED"), (LATER, "COMPLETED"), (GONE, "FAILED")]
    restore.clear()


def test_the_backups_own_row_is_completed_where_no_live_database_tells(folder: Path, database: Database) -> None:
    execute_as(database, [BACKUP_LOGS, INSERT.format(OWN, "RUNNING", "NULL")], OWNER)
    restore = Restore(folder, database, administrator(database))
    restore.load(restore.dump())
    now = datetime.now(UTC)
    row = AuditRow(
        status=RowStatus.COMPLETED, initiated_by=InitiatedBy.ADMIN, started=now, completed=now, destination="pvc://c/x"
    )
    assert carry_over(restore.owner, None, restore.scratch, (OWN, row)).logged
    found = database.server.execute("SELECT status, destination FROM backup_logs", restore.scratch)
    assert found == [("COMPLETED", "pvc://c/x")]
    restore.clear()
