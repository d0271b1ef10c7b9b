"""Each run is a row of QuoteNode's table backup_logs, and whatever that table is like, a backup neither fails nor waits for it."""

import json
import signal
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quotenode_backup.contract import results
from quotenode_backup.domain.reasons import VERDICTS, Reason
from tests.integration.held import dump_under_way
from tests.integration.pod import Outcome
from tests.integration.postgres import OWNER, Database, Server
from tests.integration.site import Site

COLUMNS = {
    "id": "uuid PRIMARY KEY",
    "status": "text NOT NULL",
    "initiated_by": "text NOT NULL",
    "started_at": "timestamptz NOT NULL",
    "completed_at": "timestamptz",
    "size_bytes": "bigint",
    "destination": "text",
    "checksum_sha256": "varchar(64)",
    "error_message": "text",
}
ROW = ", ".join(COLUMNS)
UID = "0b6f2a9e-6a53-4f0e-9d59-0c6f7d1c2e3f"
STARTED = datetime(2026, 3, 1, 2, 30, 15, tzinfo=UTC)
INTERRUPTED = "Interrupted: the run ended without a result"


def create(database: Database, *before: str, table: str = "backup_logs", **columns: str | None) -> None:
    """QuoteNode's table, with other or further columns as asked for."""
    shape = {name: kind for name, kind in {**COLUMNS, **columns}.items() if kind}
    definition = ", ".join(f"{name} {kind}" for name, kind in shape.items())
    as_owner(database, *before, f"CREATE TABLE {table} ({definition})")


def as_owner(database: Database, *statements: str) -> None:
    with database.connect() as connection:
        connection.execute(f"SET ROLE {OWNER}")
        for statement in statements:
            connection.execute(statement.encode())


def rows(site: Site, table: str = "backup_logs") -> dict[str, dict[str, object]]:
    found = site.database.execute(f"SELECT {ROW} FROM {table}")
    return {str(row[0]): dict(zip(COLUMNS, row, strict=True)) for row in found}


def audited(site: Site, **changes: Any) -> bytes:
    return site.plan(**{"audit": True, "runUid": UID, "started": STARTED.isoformat(), **changes})


def logged(outcome: Outcome) -> None:
    assert outcome.result.audit is not None, outcome.story
    assert outcome.result.audit.logged, outcome.story
    assert outcome.result.audit.reason is Reason.AUDIT_LOGGED


def recorded_well(outcome: Outcome) -> None:
    """The result of a record Job says by itself whether the row was written."""
    assert outcome.exit_code == 0, outcome.story
    assert (outcome.result.outcome, outcome.result.reason) == (results.Outcome.SUCCEEDED, Reason.COMPLETED), (
        outcome.story
    )
    assert outcome.result.message.startswith("The run is a row of "), outcome.story


def not_logged(outcome: Outcome, reason: Reason, *mentioned: str) -> str:
    """The backup is Completed all the same."""
    outcome.succeeded()
    audit = outcome.result.audit
    assert audit is not None, outcome.story
    assert (audit.logged, audit.reason) == (False, reason), outcome.story
    for thing in mentioned:
        assert thing in audit.message, audit.message
    assert audit.message.endswith("."), audit.message
    return audit.message


def folder_url(site: Site) -> str:
    return f"pvc://quotenode-backups/{site.bundle_folder_name}/"


def test_a_run_that_goes_well_is_a_row_that_says_so(site: Site) -> None:
    create(site.database)
    outcome = site.backup(audited(site, initiatedBy="Scheduler"))
    stored = outcome.succeeded()
    logged(outcome)
    assert rows(site)[UID] == {
        "id": uuid.UUID(UID),
        "status": "COMPLETED",
        "initiated_by": "SCHEDULER",
        "started_at": STARTED,
        "completed_at": stored.completed,
        "size_bytes": stored.size_bytes,
        "destination": f"pvc://quotenode-backups/{stored.path}",
        "checksum_sha256": stored.sha256,
        "error_message": None,
    }
    site.assert_nothing_left_behind()


def test_a_plan_that_does_not_ask_for_it_writes_no_row(site: Site) -> None:
    create(site.database)
    assert site.backup().result.audit is None
    assert not rows(site)


def test_the_bundle_holds_its_own_row_as_one_that_goes_on(site: Site) -> None:
    create(site.database)
    opened = site.succeeds(audited(site))
    opened.restore_into(site.database.server, "restored_row")
    found = site.database.server.execute(f"SELECT {ROW} FROM backup_logs", "restored_row")
    site.database.server.drop_database("restored_row")
    assert found == [(uuid.UUID(UID), "RUNNING", "ADMIN", STARTED, None, None, folder_url(site), None, None)]


def test_a_folder_inside_the_claim_is_part_of_the_destination(site: Site) -> None:
    create(site.database)
    plan = audited(site, local={"subPath": "a/b"}, files=[{"name": ".", "claimName": "c", "subPath": "not there"}])
    site.backup(plan).failed(Reason.SOURCE_PATH_MISSING)
    assert rows(site)[UID]["destination"] == f"pvc://quotenode-backups/a/b/{site.bundle_folder_name}/"


def test_a_run_that_fails_is_a_row_with_the_reason(site: Site) -> None:
    create(site.database)
    plan = audited(site, files=[{"name": ".", "claimName": "quotenode-uploads", "subPath": "not there"}])
    outcome = site.backup(plan)
    message = outcome.failed(Reason.SOURCE_PATH_MISSING)
    logged(outcome)
    row = rows(site)[UID]
    assert (row["status"], row["initiated_by"]) == ("FAILED", "ADMIN")
    assert row["error_message"] == f"SourcePathMissing: {message}"
    assert row["destination"] == folder_url(site)
    assert isinstance(row["completed_at"], datetime)


def test_a_retry_that_goes_well_leaves_one_row_without_an_error(site: Site) -> None:
    create(site.database)
    files = [{"name": ".", "claimName": "quotenode-uploads", "subPath": "not there"}]
    site.backup(audited(site, files=files))
    site.backup(audited(site, attempt=2)).succeeded()
    assert list(rows(site)) == [UID]
    assert (rows(site)[UID]["status"], rows(site)[UID]["error_message"]) == ("COMPLETED", None)
    again = site.backup(audited(site, attempt=3))
    logged(again)
    assert rows(site)[UID]["completed_at"] == again.succeeded().completed


def test_a_run_that_is_told_to_stop_still_says_so_in_its_row(big_site: Site) -> None:
    create(big_site.database)
    with dump_under_way(big_site, audited(big_site)) as pod:
        assert rows(big_site)[UID]["status"] == "RUNNING"
        pod.signal(signal.SIGTERM)
        outcome = pod.wait(20)
    outcome.failed(Reason.INTERRUPTED)
    logged(outcome)
    assert str(rows(big_site)[UID]["error_message"]).startswith("Interrupted: The pod was told to stop")
    assert rows(big_site)[UID]["status"] == "FAILED"


def test_a_deadline_that_passes_is_in_the_row(big_site: Site) -> None:
    create(big_site.database)
    with big_site.database.connect() as holder:
        holder.execute("BEGIN; LOCK TABLE offers")
        outcome = big_site.backup(audited(big_site, deadline=(datetime.now(UTC) + timedelta(seconds=4)).isoformat()))
    outcome.failed(Reason.DEADLINE_EXCEEDED)
    logged(outcome)
    assert str(rows(big_site)[UID]["error_message"]).startswith("DeadlineExceeded: The deadline passed")


def test_a_run_that_waits_for_another_has_begun_nothing(big_site: Site) -> None:
    create(big_site.database)
    with dump_under_way(big_site, audited(big_site)) as first:
        second = big_site.backup(audited(big_site, runUid=str(uuid.uuid4())))
    second.failed(Reason.LOCK_BUSY)
    assert second.result.audit is None
    assert list(rows(big_site)) == [UID]
    first.wait().succeeded()


def test_where_no_session_is_possible_no_row_is_attempted(site: Site) -> None:
    create(site.database)
    outcome = site.backup(audited(site), secrets={"username": b"quotenode", "password": b"wrong"})
    outcome.failed(Reason.CREDENTIALS_REFUSED)
    assert outcome.result.audit is None


def test_a_database_that_goes_away_is_named_in_the_outcome(folder: Path, own_server: Server) -> None:
    site = Site(folder / "site", own_server.seeded_database("quotenode", ballast=True))
    create(site.database)
    with dump_under_way(site, audited(site)) as pod:
        own_server.stop()
    outcome = pod.wait()
    assert outcome.result.outcome is results.Outcome.FAILED
    assert outcome.result.audit is not None, outcome.story
    assert not outcome.result.audit.logged
    assert outcome.result.audit.reason in {Reason.SOURCE_UNREACHABLE, Reason.SOURCE_CONNECTION_LOST}
    own_server.start()
    assert rows(site)[UID]["status"] == "RUNNING"
    site.backup(audited(site, runUid=str(uuid.uuid4()))).succeeded()
    assert (rows(site)[UID]["status"], rows(site)[UID]["error_message"]) == ("FAILED", INTERRUPTED)


FIT = {
    "an extra column that may be empty": {"created_by": "text", "note": "text NOT NULL DEFAULT ''"},
    "an identity beside it": {"number": "bigint GENERATED ALWAYS AS IDENTITY"},
    "text as id": {"id": "text PRIMARY KEY"},
    "varchar as id": {"id": "varchar(36) UNIQUE"},
    "no unique id": {"id": "uuid NOT NULL"},
    "enums": {"status": "backup_status NOT NULL", "initiated_by": "initiator NOT NULL"},
    "time without zone": {"started_at": "timestamp(3) NOT NULL", "completed_at": "timestamp(3)"},
    "numbers of other types": {"size_bytes": "numeric(20, 0)"},
    "small numbers": {"size_bytes": "integer"},
    "texts of other types": {
        "status": "varchar(20) NOT NULL",
        "initiated_by": "char(9) NOT NULL",
        "destination": "varchar(500)",
        "checksum_sha256": "char(64)",
        "error_message": "short",
    },
}
TYPES = (
    "CREATE TYPE backup_status AS ENUM ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED')",
    "CREATE TYPE initiator AS ENUM ('SCHEDULER', 'ADMIN')",
    "CREATE DOMAIN short AS varchar(30)",
)


@pytest.mark.parametrize("columns", FIT.values(), ids=FIT.keys())
def test_a_table_that_takes_our_rows_is_written(site: Site, columns: dict[str, str]) -> None:
    create(site.database, *TYPES, **columns)
    as_owner(site.database, f"ALTER DATABASE {site.database.name} SET timezone TO 'Asia/Kolkata'")
    other = uuid.uuid4()
    files = [{"name": ".", "claimName": "quotenode-uploads", "subPath": "not there"}]
    logged(site.backup(audited(site, runUid=str(other), files=files)))
    logged(site.backup(audited(site, runUid=str(other), files=files, attempt=2)))
    outcome = site.backup(audited(site))
    logged(outcome)
    found = rows(site)
    assert len(site.database.execute("SELECT 1 FROM backup_logs")) == 2
    assert str(found[str(other)]["error_message"]).startswith("SourcePathMissing: Claim quot")
    row = found[UID]
    assert (row["status"], str(row["initiated_by"]).strip()) == ("COMPLETED", "ADMIN")
    assert row["size_bytes"] == outcome.succeeded().size_bytes
    started = row["started_at"]
    assert isinstance(started, datetime)
    assert started.replace(tzinfo=UTC) == STARTED if started.tzinfo is None else started == STARTED


def test_a_size_that_a_column_cannot_hold_is_left_out_and_the_run_is_completed_all_the_same(site: Site) -> None:
    create(site.database, size_bytes="integer")
    row = {**recorded(site), "status": "COMPLETED", "sizeBytes": 3 << 30, "sha256": "ab" * 32}
    recorded_well(site.task("record", runUid=UID, database=site.planned_database(), row=row))
    assert (rows(site)[UID]["status"], rows(site)[UID]["size_bytes"]) == ("COMPLETED", None)


UNFIT: dict[str, tuple[dict[str, str | None], str]] = {
    "a column less": ({"checksum_sha256": None}, "lacks column checksum_sha256"),
    "two columns less": ({"checksum_sha256": None, "size_bytes": None}, "size_bytes, checksum_sha256"),
    "a number as id": ({"id": "bigint PRIMARY KEY"}, "column id is of type int8"),
    "a short id": ({"id": "varchar(20) PRIMARY KEY"}, "column id has room for 20"),
    "a column that must be filled": ({"tenant_id": "bigint NOT NULL"}, "column tenant_id is NOT NULL"),
    "a time as text": ({"started_at": "text NOT NULL"}, "column started_at is of type text"),
    "a size as text": ({"size_bytes": "text"}, "column size_bytes is of type text"),
    "another enum": ({"status": "backup_state NOT NULL"}, "enum without RUNNING"),
    "a short status": ({"status": "varchar(8) NOT NULL"}, "column status has room for 8"),
    "a short destination": ({"destination": "varchar(40)"}, "column destination has room for 40"),
    "a completion that must be filled": ({"completed_at": "timestamptz NOT NULL"}, "column completed_at is NOT NULL"),
    "a check": ({"status": "text CHECK (status IN ('PENDING', 'DONE'))"}, "backup_logs_status_check"),
    "a generated column": ({"initiated_by": "text GENERATED ALWAYS AS ('ADMIN') STORED"}, "initiated_by"),
}
DEFINITION = """
    SELECT c.relname, c.relkind, c.relacl::text, a.attname, a.atttypid::regtype::text, a.atttypmod, a.attnotnull
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relname LIKE 'backup_logs%' ORDER BY 1, 4"""


@pytest.mark.parametrize(("columns", "mentioned"), UNFIT.values(), ids=UNFIT.keys())
def test_a_table_of_another_shape_is_left_as_it_is(site: Site, columns: dict[str, Any], mentioned: str) -> None:
    create(site.database, "CREATE TYPE backup_state AS ENUM ('OPEN', 'COMPLETED', 'FAILED')", **columns)
    definition, live = site.database.execute(DEFINITION), site.live()
    not_logged(site.backup(audited(site)), Reason.AUDIT_TABLE_UNFIT, mentioned, "spec.auditLog")
    assert site.database.execute(DEFINITION) == definition
    assert site.live() == live
    site.assert_nothing_left_behind()


def test_a_missing_table_is_reported(site: Site) -> None:
    not_logged(site.backup(audited(site)), Reason.AUDIT_TABLE_UNFIT, "there is no such table", site.database.name)


def test_a_view_is_not_written_into(site: Site) -> None:
    create(site.database, table="backup_rows")
    as_owner(site.database, "CREATE VIEW backup_logs AS SELECT * FROM backup_rows")
    not_logged(site.backup(audited(site)), Reason.AUDIT_TABLE_UNFIT, "public.backup_logs is a view")
    assert not rows(site, "backup_rows")


@pytest.mark.parametrize("left", ["SELECT", "SELECT, INSERT", "SELECT, UPDATE"])
def test_a_role_without_rights_is_told_what_to_grant(site: Site, left: str) -> None:
    create(site.database)
    site.database.execute("ALTER TABLE backup_logs OWNER TO postgres")
    site.database.execute(f"GRANT {left} ON backup_logs TO {OWNER}")
    outcome = site.backup(audited(site))
    not_logged(outcome, Reason.PERMISSION_DENIED, "GRANT ", "ON public.backup_logs", OWNER)
    assert not rows(site)


def test_rows_that_a_policy_refuses_are_a_lack_of_rights(site: Site) -> None:
    create(site.database)
    policy = "CREATE POLICY p ON backup_logs USING (true) WITH CHECK (false)"
    site.database.execute("ALTER TABLE backup_logs ENABLE ROW LEVEL SECURITY")
    site.database.execute(policy)
    row = recorded(site)
    site.database.execute("ALTER TABLE backup_logs FORCE ROW LEVEL SECURITY")
    outcome = site.task("record", runUid=UID, database=site.planned_database(), row=row)
    outcome.failed(Reason.PERMISSION_DENIED, "row-level security")
    assert not rows(site)


def test_a_trigger_that_refuses_is_quoted(site: Site) -> None:
    create(site.database)
    as_owner(
        site.database,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON backup_logs FOR EACH ROW EXECUTE FUNCTION no()",
    )
    not_logged(site.backup(audited(site)), Reason.AUDIT_TABLE_UNFIT, "not today")


def test_a_table_elsewhere_is_found_by_the_roles_own_search_path(site: Site) -> None:
    create(site.database, 'CREATE SCHEMA "Shop%s %b"', table='"Shop%s %b".backup_logs')
    outcome = site.backup(audited(site))
    not_logged(outcome, Reason.AUDIT_TABLE_UNFIT, "there is no such table")
    with site.database.connect() as connection:
        name = site.database.name
        connection.execute(f"""ALTER DATABASE "{name}" SET search_path TO pg_catalog, 'Shop%s %b', public""".encode())
    logged(site.backup(audited(site)))
    assert rows(site, '"Shop%s %b".backup_logs')[UID]["status"] == "COMPLETED"


def test_a_locked_table_delays_no_backup(site: Site) -> None:
    create(site.database)
    with site.database.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE backup_logs IN SHARE MODE")  # pg_dump can read it
        outcome = site.backup(audited(site))
        holder.execute("COMMIT")
    not_logged(outcome, Reason.TABLE_LOCKED, "is locked by another session")
    assert outcome.seconds < 20
    assert not rows(site)


OTHERS = {
    "a dead run of ours": ("RUNNING", "pvc://quotenode-backups/x/", ("FAILED", INTERRUPTED)),
    "QuoteNode's own": ("RUNNING", "/var/backups/quotenode", ("RUNNING", None)),
    "a remote one": ("RUNNING", "s3:bucket", ("RUNNING", None)),
    "one without a destination": ("RUNNING", None, ("RUNNING", None)),
    "one that waits": ("PENDING", "pvc://quotenode-backups/x/", ("PENDING", None)),
    "one that is done": ("COMPLETED", "pvc://quotenode-backups/x/y.tar.gz", ("COMPLETED", None)),
}


def test_rows_of_dead_runs_are_closed_and_no_others(site: Site) -> None:
    create(site.database)
    ids = {what: str(uuid.uuid4()) for what in OTHERS}
    with site.database.connect() as connection:
        for what, (status, destination, _) in OTHERS.items():
            connection.execute(
                "INSERT INTO backup_logs (id, status, initiated_by, started_at, destination) VALUES (%s, %s, 'ADMIN', now(), %s)",
                (ids[what], status, destination),
            )
    logged(site.backup(audited(site)))
    found = rows(site)
    assert {what: (found[ids[what]]["status"], found[ids[what]]["error_message"]) for what in OTHERS} == {
        what: after for what, (*_, after) in OTHERS.items()
    }
    assert isinstance(found[ids["a dead run of ours"]]["completed_at"], datetime)


def recorded(site: Site) -> dict[str, object]:
    return {
        "status": "FAILED",
        "initiatedBy": "Scheduler",
        "started": STARTED.isoformat(),
        "completed": (STARTED + timedelta(minutes=9)).isoformat(),
        "destination": folder_url(site),
        "error": "OOMKilled: it took more memory than it may.",
    }


def test_a_row_that_the_operator_records_replaces_that_of_the_run(site: Site) -> None:
    create(site.database)
    site.backup(audited(site)).succeeded()
    for _ in range(2):
        outcome = site.task("record", runUid=UID, database=site.planned_database(), row=recorded(site))
        recorded_well(outcome)
        assert rows(site)[UID] == {
            "id": uuid.UUID(UID),
            "status": "FAILED",
            "initiated_by": "SCHEDULER",
            "started_at": STARTED,
            "completed_at": STARTED + timedelta(minutes=9),
            "size_bytes": None,
            "destination": folder_url(site),
            "checksum_sha256": None,
            "error_message": "OOMKilled: it took more memory than it may.",
        }
    site.assert_server_is_free()


def test_a_record_that_cannot_be_written_ends_with_the_reason(site: Site) -> None:
    outcome = site.task("record", runUid=UID, database=site.planned_database(), row=recorded(site))
    message = outcome.failed(Reason.AUDIT_TABLE_UNFIT, "there is no such table")
    assert "spec.auditLog" in message
    assert outcome.exit_code == VERDICTS[Reason.AUDIT_TABLE_UNFIT].exit_code
    unreachable = {**site.planned_database(), "port": 1}
    site.task("record", runUid=UID, database=unreachable, row=recorded(site)).failed(Reason.SOURCE_UNREACHABLE)
    late = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    outcome = site.task("record", runUid=UID, database=site.planned_database(), row=recorded(site), deadline=late)
    outcome.failed(Reason.DEADLINE_EXCEEDED)
    outcome = site.task("record", runUid=UID, database=site.planned_database(), row={"status": "DONE"})
    outcome.failed(Reason.PLAN_INVALID, "row")


def test_the_password_is_not_in_the_row(site: Site) -> None:
    """Here the server says it aloud: it is the name of a table that can't be read."""
    create(site.database)
    server, secret = site.database.server, f"canary{uuid.uuid4().hex[:10]}"
    server.create_role("signs_in", secret)
    site.database.execute(f'CREATE TABLE "{secret}" (a int)')
    site.database.execute("GRANT ALL ON backup_logs TO signs_in")
    site.database.execute("GRANT USAGE ON SCHEMA public TO signs_in")
    outcome = site.backup(audited(site), secrets={"username": b"signs_in", "password": secret.encode()})
    outcome.failed(Reason.PERMISSION_DENIED)
    logged(outcome)
    assert secret not in json.dumps(rows(site), default=str)
    server.drop_database(site.database.name)
    server.execute("DROP ROLE signs_in")


def test_a_dump_by_a_role_that_may_only_read_works_as_before(site: Site) -> None:
    create(site.database)
    server = site.database.server
    password = server.create_role("only_reads")
    site.database.execute("GRANT pg_read_all_data TO only_reads")
    site.database.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    reader = {"username": b"only_reads", "password": password.encode()}
    not_logged(site.backup(audited(site), secrets=reader), Reason.PERMISSION_DENIED, "GRANT INSERT, UPDATE")
    server.execute("DROP ROLE only_reads")


def test_a_server_that_is_not_there_any_more_costs_a_failure_little_time(site: Site) -> None:
    outcome = site.backup(audited(site, database={"port": 1}))
    outcome.failed(Reason.SOURCE_UNREACHABLE, within=10)
    assert outcome.result.audit is None
