"""The role of the backup may be a superuser's, and backup_logs may belong to somebody who is none: writing a row of it must not run that
person's code."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from quotenode_backup.contract.plans import AuditRow
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.runner.postgres import backup_logs_schema
from quotenode_backup.runner.postgres.backup_logs import LOCK_SECONDS, Writer
from quotenode_backup.runner.postgres.backup_logs_schema import Table
from tests.integration.pod import Outcome
from tests.integration.postgres import OWNER, Server
from tests.integration.site import Site
from tests.integration.test_audit import (
    TYPES,
    UID,
    as_owner,
    audited,
    create,
    logged,
    not_logged,
    recorded,
    recorded_well,
    rows,
)

SEIZE = f"""
    CREATE FUNCTION seize() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN EXECUTE 'ALTER ROLE {OWNER} SUPERUSER'; END IF;
        RETURN true;
    END $$
"""
"""The application becomes a superuser when a superuser calls it."""
TAKERS = (
    SEIZE,
    "CREATE FUNCTION grab() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.seize(); RETURN NEW; END $$",
    "CREATE FUNCTION evil(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN public.seize(); END $$",
    "CREATE FUNCTION evil(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN public.seize(); END $$",
    "CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = evil)",
    "CREATE DOMAIN checked AS text CHECK (evil(VALUE))",
    "CREATE EXTENSION citext",
    *TYPES,
    "CREATE FUNCTION as_text(backup_status) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
    " PERFORM public.seize(); RETURN concat($1); END $$",
    "CREATE FUNCTION as_number(backup_status) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
    " PERFORM public.seize(); RETURN length(concat($1)); END $$",
)
TRIGGER = "CREATE TRIGGER taker {} ON backup_logs {} EXECUTE FUNCTION grab()"
ROW_OF_CHILD = (
    f"INSERT INTO older_logs (id, status, initiated_by, started_at) VALUES ('{UID}', 'RUNNING', 'ADMIN', now())"
)
ROW_OF_ANOTHER = f"INSERT INTO backup_logs (id, status, initiated_by, started_at) VALUES ('{uuid.uuid4()}', 'RUNNING', 'ADMIN', now())"


@dataclass(frozen=True)
class Attack:
    """What the owner of backup_logs does to it, and what of that must be named."""

    mentioned: str
    then: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)


ATTACKS = {
    "a trigger before a row": Attack(
        "trigger taker can run", (TRIGGER.format("BEFORE INSERT OR UPDATE", "FOR EACH ROW"),)
    ),
    "a trigger after a row": Attack(
        "trigger taker can run", (TRIGGER.format("AFTER INSERT OR UPDATE", "FOR EACH ROW"),)
    ),
    "a trigger of the statement": Attack("trigger taker can run", (TRIGGER.format("BEFORE UPDATE", ""),)),
    "a deferred trigger": Attack(
        "trigger taker can run",
        (
            "CREATE CONSTRAINT TRIGGER taker AFTER INSERT ON backup_logs DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION grab()",
        ),
    ),
    "a trigger on a partition": Attack(
        "trigger taker on public.part",
        (
            "ALTER TABLE backup_logs RENAME TO plain",
            "CREATE TABLE backup_logs (LIKE plain) PARTITION BY RANGE (started_at)",
            "CREATE TABLE part PARTITION OF backup_logs DEFAULT",
            "CREATE TRIGGER taker AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION grab()",
        ),
    ),
    "a trigger on a child": Attack(
        "trigger taker on public.older_logs",
        (
            "CREATE TABLE older_logs () INHERITS (backup_logs)",
            ROW_OF_CHILD,
            "CREATE TRIGGER taker AFTER UPDATE ON older_logs FOR EACH ROW EXECUTE FUNCTION grab()",
        ),
    ),
    "a rule": Attack("rule taker", ("CREATE RULE taker AS ON INSERT TO backup_logs DO ALSO SELECT public.seize()",)),
    "a check": Attack("constraint backup_logs_status_check", columns={"status": "text NOT NULL CHECK (evil(status))"}),
    "a check by an operator": Attack(
        "operator public.===(text,text)", columns={"status": "text NOT NULL CHECK (status === 'RUNNING')"}
    ),
    "a check by a statement in a text": Attack(
        "function query_to_xml(text,boolean,boolean,text)",
        columns={"status": "text NOT NULL CHECK (query_to_xml('SELECT public.seize()', true, true, '') IS NOT NULL)"},
    ),
    "a generated column": Attack(
        "generated column flag", columns={"flag": "boolean GENERATED ALWAYS AS (evil(status)) STORED"}
    ),
    "a default of another column": Attack("default of column flag", columns={"flag": "boolean DEFAULT seize()"}),
    "an index of an expression": Attack("index taker", ("CREATE INDEX taker ON backup_logs (evil(status))",)),
    "an index of some rows": Attack("index taker", ("CREATE INDEX taker ON backup_logs (id) WHERE evil(status)",)),
    "a partition key": Attack(
        "the partition key",
        (
            "ALTER TABLE backup_logs RENAME TO plain",
            "CREATE TABLE backup_logs (LIKE plain) PARTITION BY LIST (evil(status))",
            "CREATE TABLE part PARTITION OF backup_logs DEFAULT",
        ),
    ),
    "a partition key of a table above": Attack(
        "the partition key on public.above",
        (
            "ALTER TABLE backup_logs RENAME TO plain",
            "CREATE TABLE above (LIKE plain) PARTITION BY LIST (evil(status))",
            "CREATE TABLE backup_logs PARTITION OF above FOR VALUES IN (true)",
        ),
    ),
    "a domain": Attack("column error_message of type public.checked", columns={"error_message": "checked"}),
    "a domain of a column that stays empty": Attack("column note of type public.checked", columns={"note": "checked"}),
    "statistics": Attack("statistics taker", ("CREATE STATISTICS taker ON (status || evil('')), id FROM backup_logs",)),
    "a foreign key by a cast": Attack(
        "foreign key taker",
        (
            "CREATE CAST (backup_status AS int) WITH FUNCTION as_number(backup_status) AS IMPLICIT",
            "CREATE TABLE states (number int PRIMARY KEY)",
            "INSERT INTO states VALUES (6), (7)",
            "ALTER TABLE backup_logs ADD CONSTRAINT taker FOREIGN KEY (status) REFERENCES states (number)",
            f"INSERT INTO backup_logs (id, status, initiated_by, started_at) VALUES ('{UID}', 'RUNNING', 'ADMIN', now())",
        ),
        {"status": "backup_status NOT NULL"},
    ),
    "a key that hands changes on": Attack(
        "foreign key taker",
        (
            "ALTER TABLE backup_logs ADD CONSTRAINT one_each UNIQUE (status)",
            "CREATE TABLE later (a int)",
            "CREATE CONSTRAINT TRIGGER taker AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION grab()",
            "CREATE FUNCTION postpone() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO public.later VALUES (1); RETURN NEW; END $$",
            "CREATE TABLE follower (status text CONSTRAINT taker REFERENCES backup_logs (status) ON UPDATE CASCADE)",
            "CREATE TRIGGER postpone BEFORE UPDATE ON follower FOR EACH ROW EXECUTE FUNCTION postpone()",
            f"INSERT INTO backup_logs (id, status, initiated_by, started_at) VALUES ('{UID}', 'RUNNING', 'ADMIN', now())",
            "INSERT INTO follower VALUES ('RUNNING')",
        ),
    ),
}


@dataclass
class Attacked:
    """A site whose Secret holds a superuser, of a table that the application's role owns."""

    site: Site
    role: str

    def prepare(self, attack: Attack) -> None:
        create(self.site.database, *TAKERS, **attack.columns)
        as_owner(self.site.database, *attack.then)

    def record(self) -> Outcome:
        return self.site.task("record", runUid=UID, database=self.site.planned_database(), row=recorded(self.site))

    def refused(self, *mentioned: str) -> None:
        """The row is not written, the sentence says why, and the application's role is what it was."""
        self.record().failed(
            Reason.AUDIT_TABLE_UNFIT, *mentioned, f"can run somebody else's code as role {self.role}: ", "spec.auditLog"
        )
        self.assert_not_seized()

    def assert_not_seized(self) -> None:
        assert self.site.database.server.query("SELECT rolsuper FROM pg_roles WHERE rolname = %s", OWNER) == [(False,)]


@pytest.fixture(params=[15, 17])
def attacked(request: pytest.FixtureRequest, servers: Callable[[int], Server], folder: Path) -> Iterator[Attacked]:
    server, role = servers(request.param), f"keeper_{uuid.uuid4().hex[:8]}"
    database = server.seeded_database(f"quotenode_{uuid.uuid4().hex[:8]}")
    password = server.create_role(role)
    server.execute(f"ALTER ROLE {role} SUPERUSER")
    secrets = {"username": role.encode(), "password": password.encode()}
    yield Attacked(Site(folder / "site", database, secrets=secrets), role)
    server.execute(f"ALTER ROLE {OWNER} NOSUPERUSER")
    server.drop_database(database.name)
    server.execute(f"DROP ROLE {role}")


def demoted(attacked: Attacked) -> None:
    """The role of the Secret is an ordinary one, and may do just what is documented."""
    attacked.site.database.execute(f"ALTER ROLE {attacked.role} NOSUPERUSER")
    attacked.site.database.execute(f"GRANT SELECT, INSERT, UPDATE ON backup_logs TO {attacked.role}")


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_code_of_the_tables_owner_does_not_run_as_a_superuser(attacked: Attacked, attack: Attack) -> None:
    attacked.prepare(attack)
    attacked.refused(attack.mentioned, OWNER)


def test_a_backup_is_completed_where_a_trigger_keeps_its_row_from_being_written(attacked: Attacked) -> None:
    attacked.prepare(ATTACKS["a trigger before a row"])
    outcome = attacked.site.backup(audited(attacked.site))
    not_logged(outcome, Reason.AUDIT_TABLE_UNFIT, "trigger taker can run", f"owner, role {OWNER},", "spec.auditLog")
    attacked.assert_not_seized()
    assert not rows(attacked.site)


def test_a_cast_of_the_applications_own_type_is_not_called(attacked: Attacked) -> None:
    """It would be chosen for status = 'RUNNING', when rows of dead runs are looked for."""
    attacked.prepare(Attack("", columns={"status": "backup_status NOT NULL"}))
    as_owner(
        attacked.site.database,
        f"INSERT INTO backup_logs VALUES ('{uuid.uuid4()}', 'RUNNING', 'ADMIN', now(), NULL, NULL, 'pvc://x/')",
        "CREATE CAST (backup_status AS text) WITH FUNCTION as_text(backup_status) AS IMPLICIT",
    )
    logged(attacked.site.backup(audited(attacked.site)))
    attacked.assert_not_seized()
    statuses = attacked.site.database.execute("SELECT status::varchar FROM backup_logs ORDER BY 1")
    assert statuses == [("COMPLETED",), ("FAILED",)]


def test_a_policy_does_not_run_as_another_role(attacked: Attacked) -> None:
    attacked.prepare(Attack(""))
    as_owner(
        attacked.site.database,
        "ALTER TABLE backup_logs ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY taker ON backup_logs USING (seize()) WITH CHECK (seize())",
    )
    demoted(attacked)
    attacked.refused("row-level security can run", OWNER)


def test_a_role_that_the_database_lets_become_the_owner_is_not_taken_for_the_owner(attacked: Attacked) -> None:
    """Its code could take the superuser's role back."""
    attacked.prepare(Attack(""))
    as_owner(
        attacked.site.database,
        f"""CREATE OR REPLACE FUNCTION grab() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RESET ROLE; EXECUTE 'ALTER ROLE {OWNER} SUPERUSER'; RETURN NEW; END $$""",
        TRIGGER.format("BEFORE INSERT", "FOR EACH ROW"),
        f"ALTER DATABASE {attacked.site.database.name} SET role TO {OWNER}",
    )
    attacked.refused("trigger taker")


def test_a_trigger_that_others_put_on_a_superusers_own_table_does_not_run(attacked: Attacked) -> None:
    attacked.prepare(Attack(""))
    attacked.site.database.execute(f"ALTER TABLE backup_logs OWNER TO {attacked.role}")
    attacked.site.database.execute(f"GRANT ALL ON backup_logs TO {OWNER}")
    as_owner(attacked.site.database, TRIGGER.format("BEFORE INSERT", "FOR EACH ROW"))
    attacked.refused("trigger taker can run", "an ordinary role")


def test_a_superusers_own_code_on_its_own_table_runs(attacked: Attacked) -> None:
    attacked.prepare(Attack("", columns={"flag": "boolean DEFAULT seize()", "note": "checked"}))
    database = attacked.site.database
    database.execute(f"ALTER TABLE backup_logs OWNER TO {attacked.role}")
    database.execute(f"ALTER FUNCTION grab() OWNER TO {attacked.role}")
    database.execute("CREATE OR REPLACE FUNCTION seize() RETURNS boolean RETURN true")
    database.execute(TRIGGER.format("BEFORE INSERT", "FOR EACH ROW"))
    recorded_well(attacked.record())


def test_the_owners_role_runs_its_own_code(attacked: Attacked) -> None:
    attacked.prepare(ATTACKS["a trigger before a row"])
    database = attacked.site.database
    attacked.site.secrets = {"username": database.user.encode(), "password": database.password.encode()}
    as_owner(
        database,
        "CREATE OR REPLACE FUNCTION grab() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.error_message = 'mine'; RETURN NEW; END $$",
    )
    recorded_well(attacked.record())
    assert rows(attacked.site)[UID]["error_message"] == "mine"


QUOTENODES_OWN = {
    "id": "uuid PRIMARY KEY DEFAULT gen_random_uuid()",
    "status": "varchar(20) NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED'))",
    "initiated_by": "varchar(20) NOT NULL CHECK (initiated_by IN ('SCHEDULER', 'ADMIN'))",
    "started_at": "timestamptz NOT NULL DEFAULT now()",
    "size_bytes": "bigint CHECK (size_bytes >= 0)",
    "checksum_sha256": "text CHECK (checksum_sha256 ~ '^[0-9a-f]{64}$' OR length(checksum_sha256) = 0)",
    "number": "bigserial",
    "tag": "citext UNIQUE",
    "created_at": "timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP",
    "updated_at": "timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'utc')",
    "phase": "backup_status DEFAULT 'PENDING' CHECK (phase IN ('PENDING', 'RUNNING') OR phase::text = 'FAILED')",
    "search": "text GENERATED ALWAYS AS (lower(coalesce(error_message, '')) || ' x') STORED",
    "CONSTRAINT order_of_times": "CHECK (completed_at IS NULL OR completed_at >= started_at)",
}
AROUND_IT = (
    "CREATE INDEX ON backup_logs (started_at DESC)",
    "CREATE INDEX ON backup_logs (lower(initiated_by), date_trunc('day', started_at AT TIME ZONE 'UTC'))",
    "CREATE INDEX ON backup_logs (status) WHERE status IN ('PENDING', 'RUNNING')",
    "CREATE STATISTICS kinds ON status, (lower(initiated_by)) FROM backup_logs",
    "CREATE TABLE notes (log uuid REFERENCES backup_logs (id) ON UPDATE CASCADE ON DELETE CASCADE)",
)


@pytest.mark.parametrize("attacked", [15, 17, 18], indirect=True)
def test_a_table_like_quotenodes_own_is_written_by_a_role_with_the_documented_rights(attacked: Attacked) -> None:
    attacked.prepare(Attack("", AROUND_IT, QUOTENODES_OWN))
    demoted(attacked)
    attacked.site.database.execute(f"GRANT USAGE ON SEQUENCE backup_logs_number_seq TO {attacked.role}")
    recorded_well(attacked.record())
    recorded_well(attacked.record())
    assert list(rows(attacked.site)) == [UID]
    attacked.site.database.execute(f"ALTER ROLE {attacked.role} SUPERUSER")
    recorded_well(attacked.record())
    assert not attacked.site.database.execute(
        "SELECT 1 FROM pg_class WHERE relname LIKE 'backup_logs' AND relkind = 'v'"
    )


def test_a_partitioned_table_of_another_role_is_written(attacked: Attacked) -> None:
    attacked.prepare(Attack("", PARTITIONED))
    demoted(attacked)
    recorded_well(attacked.record())
    assert list(rows(attacked.site, "part")) == [UID]


def test_writers_do_not_queue_for_long_behind_a_row_that_waits_for_an_open_transaction(attacked: Attacked) -> None:
    """Whoever wants to write waits for as long as our request for the lock does."""
    attacked.prepare(Attack(""))
    demoted(attacked)
    with attacked.site.database.connect() as holder:
        holder.execute("BEGIN")
        holder.execute(ROW_OF_ANOTHER)
        attacked.record().failed(Reason.TABLE_LOCKED, "is locked by another session", within=LOCK_SECONDS)
        holder.execute("COMMIT")
    recorded_well(attacked.record())


def test_a_role_that_may_make_nothing_temporary_is_told_so(attacked: Attacked) -> None:
    attacked.prepare(Attack(""))
    demoted(attacked)
    name = attacked.site.database.name
    attacked.site.database.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    attacked.record().failed(Reason.PERMISSION_DENIED, f"GRANT TEMPORARY ON DATABASE {name} to it")


PARTITIONED = (
    "ALTER TABLE backup_logs RENAME TO plain",
    "CREATE TABLE backup_logs (LIKE plain) PARTITION BY RANGE (date_trunc('month', started_at AT TIME ZONE 'UTC'))",
    "CREATE TABLE part PARTITION OF backup_logs DEFAULT",
)
CHANGES: dict[str, tuple[tuple[str, ...], str]] = {
    "a trigger": ((), TRIGGER.format("BEFORE INSERT", "FOR EACH ROW")),
    "a child": (("CREATE TABLE other (LIKE backup_logs)",), "ALTER TABLE other INHERIT backup_logs"),
    "an index": ((), "CREATE INDEX ON backup_logs (evil(status))"),
    "statistics": ((), "CREATE STATISTICS taker ON (status || evil('')), id FROM backup_logs"),
    "a rule": ((), "CREATE RULE taker AS ON INSERT TO backup_logs DO ALSO SELECT public.seize()"),
    "a reference": (("CREATE TABLE other (id uuid)",), "ALTER TABLE other ADD FOREIGN KEY (id) REFERENCES backup_logs"),
    "a partition": (
        (*PARTITIONED, "DROP TABLE part", "CREATE TABLE other (LIKE plain)"),
        "ALTER TABLE backup_logs ATTACH PARTITION other DEFAULT",
    ),
    "a trigger on a partition": (
        PARTITIONED,
        "CREATE TRIGGER taker BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION grab()",
    ),
}


@contextmanager
def between_look_and_write(attacked: Attacked) -> Iterator[tuple[psycopg.Connection, Table]]:
    with attacked.site.database.connect() as connection:
        connection.execute("SET search_path TO ''")
        with connection.transaction():
            yield connection, backup_logs_schema.require_table(connection)


@pytest.mark.parametrize(("before", "change"), CHANGES.values(), ids=CHANGES.keys())
def test_nothing_is_added_between_the_look_and_the_write(
    attacked: Attacked, before: tuple[str, ...], change: str
) -> None:
    attacked.prepare(Attack("", before))
    with between_look_and_write(attacked), pytest.raises(psycopg.errors.LockNotAvailable):
        as_owner(attacked.site.database, "SET lock_timeout TO '200ms'", change)
    as_owner(attacked.site.database, change)


def test_a_table_that_takes_the_name_between_the_look_and_the_write_is_not_written(attacked: Attacked) -> None:
    """Whoever owns the schema can rename it, whatever locks there are on its tables."""
    attacked.prepare(Attack(""))
    database = attacked.site.database
    database.execute(f"ALTER SCHEMA public OWNER TO {OWNER}")
    with between_look_and_write(attacked) as (connection, table):
        as_owner(
            database,
            "ALTER SCHEMA public RENAME TO looked_at",
            "CREATE SCHEMA public",
            "CREATE FUNCTION public.seize() RETURNS boolean RETURN looked_at.seize()",
            "CREATE TABLE public.backup_logs (LIKE looked_at.backup_logs)",
            "CREATE TRIGGER taker BEFORE INSERT ON public.backup_logs FOR EACH ROW EXECUTE FUNCTION looked_at.grab()",
        )
        Writer(connection, table).upsert(UID, AuditRow.model_validate(recorded(attacked.site)))
    attacked.assert_not_seized()
    assert not rows(attacked.site, "public.backup_logs")
    assert list(rows(attacked.site, "looked_at.backup_logs")) == [UID]
