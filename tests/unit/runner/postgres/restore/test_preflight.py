"""What would keep a restore from working is a sentence that says what to do, before anything is touched."""

import pytest

from quotenode_backup.contract.plans import Compression, PlannedDatabase
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.credentials import Credentials
from quotenode_backup.runner.postgres.dump_head import DumpHead, Entry
from quotenode_backup.runner.postgres.restore import blockers, preflight
from quotenode_backup.runner.postgres.restore.blockers import ForeignSession, PreparedTransaction, Replication
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.restore.preflight import LiveSetting, Offered, OtherRole, Role
from quotenode_backup.runner.postgres.restore.row_counts import compare
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.process.display import Redactor

PLANNED = PlannedDatabase(
    host="db",
    port=5432,
    name="shop",
    ssl_mode="prefer",
    compression=Compression.ZSTD,
    credentials_secret="shop-db",
    username_key="username",
    password_key="password",
)


def server_as(user: str) -> Server:
    return Server(PLANNED, Credentials(user, "a password"), None, Redactor())


OWNER, ADMIN = server_as("shop"), server_as("boss")
ALONE, BOTH = Identities(OWNER), Identities(OWNER, ADMIN)
ME = Role("shop", is_super=False, may_create_databases=False, has_owner=True)
BOSS = Role("boss", is_super=True, may_create_databases=True, has_owner=True)
DEFINITIONS = {"EXTENSION": "CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA public;"}


def head(*entries: tuple[str, str, str], server: str = "17.10") -> DumpHead:
    made = tuple(
        Entry(n, kind, "public", tag, owner, DEFINITIONS.get(kind, "").format(tag))
        for n, (kind, tag, owner) in enumerate(entries, 1)
    )
    return DumpHead(b"", server, "17.10", "shop", made)


def offered(name: str, *, needs_super: bool = True, is_trusted: bool = False, is_installed: bool = False) -> Offered:
    return Offered(name, needs_super, is_trusted, is_installed)


def extension_obstacles(name: str, available: list[Offered], admin: Role | None = None) -> list[RunFailed]:
    return list(preflight.extension_obstacles(OWNER, head(("EXTENSION", name, "")), ME, admin, available))


def only(obstacles: list[RunFailed]) -> RunFailed:
    [obstacle] = obstacles
    assert obstacle.message.endswith((".", ";", "hand."))
    return obstacle


def test_an_older_server_is_refused_and_one_of_the_same_major_is_not() -> None:
    assert not list(preflight.version_obstacles(OWNER, head(), 170001))
    found = only(list(preflight.version_obstacles(OWNER, head(), 160009)))
    assert found.reason is Reason.SERVER_TOO_OLD


def test_missing_roles_come_with_statements_to_paste() -> None:
    dump = head(("TABLE", "t", "shop"), ("TABLE", "u", 'Li"sa'), ("TABLE", "v", "bob"))
    known = [OtherRole("shop", may_become=True)]
    found = only(list(preflight.role_obstacles(OWNER, dump, ME, known)))
    assert 'CREATE ROLE "Li""sa"; CREATE ROLE bob;' in found.message


def test_a_role_that_the_restoring_role_may_not_become_is_named_unless_it_is_a_superuser() -> None:
    dump, known = head(("TABLE", "t", "bob")), [OtherRole("shop", may_become=True), OtherRole("bob", may_become=False)]
    assert "GRANT bob TO shop;" in only(list(preflight.role_obstacles(OWNER, dump, ME, known))).message
    assert not list(preflight.role_obstacles(ADMIN, dump, BOSS, known))


def test_an_extension_that_the_server_does_not_offer_is_named() -> None:
    found = only(extension_obstacles("postgis", []))
    assert found.reason is Reason.EXTENSION_MISSING
    assert "postgis" in found.message


@pytest.mark.parametrize("name", ["pg_cron", "timescaledb", "citus"])
def test_an_extension_whose_state_is_in_no_dump_is_refused(name: str) -> None:
    found = extension_obstacles(name, [offered(name, needs_super=False)])
    assert only(found).reason is Reason.EXTENSION_UNSUPPORTED


def test_an_administrator_creates_only_what_the_live_database_has() -> None:
    """Anybody can write a bundle that asks for any extension."""
    assert not extension_obstacles("file_fdw", [offered("file_fdw", is_installed=True)], BOSS)
    assert extension_obstacles("file_fdw", [offered("file_fdw")], BOSS)
    assert extension_obstacles("file_fdw", [offered("file_fdw", is_installed=True)])


def test_a_trusted_extension_needs_nobody_else() -> None:
    available = [offered("pg_trgm", is_trusted=True)]
    assert not extension_obstacles("pg_trgm", available)
    assert not preflight.for_admin(head(("EXTENSION", "pg_trgm", "")), ME, available)


def test_whoever_renames_needs_createdb_and_the_owner() -> None:
    assert "CREATEDB" in only(list(preflight.privilege_obstacles(ALONE, ME))).message
    stranger = Role("boss", is_super=False, may_create_databases=True, has_owner=False)
    assert "member" in only(list(preflight.privilege_obstacles(BOTH, stranger))).message
    assert not list(preflight.privilege_obstacles(BOTH, BOSS))


def test_settings_that_cannot_be_copied_are_named() -> None:
    settings = [LiveSetting("log_statement", None, may_copy=False), LiveSetting("work_mem", None, may_copy=True)]
    found = only(list(preflight.setting_obstacles(ALONE, settings)))
    assert "log_statement of the database" in found.message
    assert "adminCredentialsSecretRef" in found.message
    assert not list(preflight.setting_obstacles(ALONE, settings[1:]))


def test_sessions_that_cannot_be_ended_are_named_with_what_to_do() -> None:
    sessions = [
        ForeignSession(11, "exporter", "postgres_exporter", is_super=False),
        ForeignSession(12, "postgres", "psql", is_super=True),
    ]
    of_super, other = blockers.session_obstacles(ALONE, sessions)
    assert "session 12 of role postgres (psql)" in of_super.message
    assert "only a superuser" in of_super.message
    assert "session 11 of role exporter (postgres_exporter)" in other.message
    assert "GRANT pg_signal_backend TO shop" in other.message
    assert not list(blockers.session_obstacles(ALONE, []))


def test_prepared_transactions_and_replication_are_named() -> None:
    assert (
        "half done"
        in only(list(blockers.prepared_obstacles(OWNER, [PreparedTransaction("half done", "shop")]))).message
    )
    found = only(list(blockers.replication_obstacles(OWNER, [Replication("slot", "to_warehouse")])))
    assert found.reason is Reason.REPLICATION_IN_USE
    assert "slot to_warehouse" in found.message


def test_a_table_with_other_rows_or_none_is_named() -> None:
    same = {("public", "t"): 3, ("public", "u"): 0}
    counted = compare(OWNER, same, dict(same))
    assert (counted.tables, counted.rows, counted.is_compared) == (2, 3, True)
    assert not compare(OWNER, same, None).is_compared
    for expected in ({("public", "t"): 4, ("public", "u"): 0}, {("public", "t"): 3}, {**same, ("public", "v"): 0}):
        with pytest.raises(RunFailed) as raised:
            compare(OWNER, same, expected)
        assert raised.value.reason is Reason.ROWS_DIFFER
