"""What a bundle says about its database is true: counts, hashes, and what a restore needs beside the dump."""

import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from quotenode_backup.contract.manifest import BundleManifest, parse_manifest
from quotenode_backup.contract.tables import DumpedTable, parse_table_list
from tests.integration.bundles import Opened
from tests.integration.postgres import OWNER, Database, Server
from tests.integration.site import Site

SECRET = "a-canary-in-a-custom-setting"
ODD = 'o"d d\n\\.\nCOPY public.fake (id) FROM stdin;\n1\n\\.\n'[:60]
LOOKS_LIKE_COPY = """
    CREATE FUNCTION looks_like_copy() RETURNS text LANGUAGE plpgsql AS $body$ BEGIN RETURN '

--
-- Data for Name: fake; Type: TABLE DATA; Schema: public; Owner: quotenode
--

COPY public.fake (id) FROM stdin;
1
\\.

'; END $body$
"""


def tables_of(opened: Opened) -> dict[tuple[str, str], DumpedTable]:
    listed = parse_table_list((opened.folder / "tables.json.gz").read_bytes())
    assert listed is not None
    return {(table.schema_name, table.name): table for table in listed}


def manifest_of(opened: Opened) -> BundleManifest:
    manifest = parse_manifest((opened.folder / "manifest.json").read_bytes())
    assert isinstance(manifest, BundleManifest)
    return manifest


def facts_of(opened: Opened) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((opened.folder / "manifest.json").read_text())["database"]["facts"]
    return facts


def live_counts(database: Database, name: str | None = None) -> dict[tuple[str, str], int]:
    query = """SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
               WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')"""
    with database.server.connect(name or database.name) as connection:
        tables = connection.execute(query).fetchall()
        counts = {}
        for table in tables:
            found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table))).fetchone()
            assert found
            counts[table[0], table[1]] = found[0]
    return counts


@pytest.fixture(params=[15, 17])
def each(request: pytest.FixtureRequest, folder: Path, servers: Callable[[int], Server]) -> Iterator[Site]:
    """A site on each server, with all that could mislead a counter."""
    server = servers(request.param)
    database = server.seeded_database(f"quotenode_{uuid.uuid4().hex[:8]}")
    with database.connect() as connection:
        connection.execute(f"SET ROLE {OWNER}")
        connection.execute(LOOKS_LIKE_COPY)
        odd = sql.Identifier(ODD)
        connection.execute(sql.SQL("CREATE TABLE {0} ({0} text, id int)").format(odd))
        connection.execute(sql.SQL("INSERT INTO {} VALUES (E'\\n\\\\.\\n', 1), ('', 2), (NULL, 3)").format(odd))
        connection.execute(sql.SQL("CREATE SEQUENCE {}").format(sql.Identifier(f"s{ODD}"[:60])))
        connection.execute("CREATE TABLE nothing (); INSERT INTO nothing SELECT FROM generate_series(1, 3)")
        connection.execute("CREATE TABLE empty (id int)")
        connection.execute("CREATE UNLOGGED TABLE passing (id int); INSERT INTO passing VALUES (1)")
    yield Site(folder / "site", database)
    server.drop_database(database.name)


def test_rows_and_hashes_are_those_of_the_tables(each: Site) -> None:
    opened = each.succeeds()
    tables, live = tables_of(opened), live_counts(each.database)
    assert {name: table.rows for name, table in tables.items()} == live
    assert tables["public", ODD].rows == 3
    assert tables["public", "nothing"].rows == 3
    assert tables["public", "empty"].rows == 0
    member = manifest_of(opened).database.tables
    assert member
    assert (member.tables, member.rows) == (len(live), sum(live.values()))
    assert manifest_of(opened).notes == ()


def test_a_dump_of_what_was_restored_has_the_same_hashes(each: Site, folder: Path) -> None:
    opened = each.succeeds()
    name = f"restored_{uuid.uuid4().hex[:8]}"
    opened.restore_into(each.database.server, name)
    database = each.database
    again = Site(folder / "again", Database(database.server, name, database.user, database.password))
    assert tables_of(again.succeeds()) == tables_of(opened)
    database.server.drop_database(name)


def test_a_row_that_changes_changes_the_hash_of_its_table_alone(site: Site) -> None:
    before = tables_of(site.succeeds())
    site.database.execute("UPDATE products SET price = price + 1 WHERE id = 200")
    after = tables_of(site.succeeds())
    assert [name for name in before if before[name] != after[name]] == [("public", "products")]


def test_the_facts_are_those_of_the_catalogs(each: Site) -> None:
    name, server = each.database.name, each.database.server
    with each.database.connect() as connection:
        connection.execute("CREATE ROLE facts_reader; CREATE ROLE facts_policy; CREATE ROLE facts_stranger")
        connection.execute("GRANT SELECT ON customers TO facts_reader")
        connection.execute("CREATE POLICY mine ON customers FOR SELECT TO facts_policy USING (true)")
        connection.execute(f"ALTER DATABASE {name} SET app.key = '{SECRET}'")
        connection.execute(f"ALTER DATABASE {name} SET work_mem = '8MB'")
        connection.execute(f"ALTER ROLE {OWNER} IN DATABASE {name} SET search_path = 'public'")
        connection.execute(f"COMMENT ON DATABASE {name} IS 'the offers'")
        connection.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
        connection.execute(
            "CREATE TABLE flyway_schema_history (installed_rank int PRIMARY KEY, version varchar(50), success boolean)"
        )
        connection.execute(
            "INSERT INTO flyway_schema_history VALUES (1, '1', true), (2, '2.1', true), (3, NULL, true), (4, '3', false)"
        )
        connection.execute(f"ALTER TABLE flyway_schema_history OWNER TO {OWNER}")
    opened = each.succeeds()
    facts = facts_of(opened)
    assert facts["owner"] == OWNER
    assert (facts["encoding"], facts["localeProvider"], facts["collate"]) == ("UTF8", "libc", "C.UTF-8")
    assert facts["databaseBytes"] > 7 << 20
    assert facts["largestIndexBytes"] > 0
    assert facts["comment"] == "the offers"
    assert facts["settings"] == [
        {"name": "app.key"},
        {"name": "work_mem", "value": "8MB"},
        {"name": "search_path", "role": OWNER, "value": "public"},
    ]
    assert {role["name"]: role["uses"] for role in facts["roles"]} == {
        OWNER: ["owner"],
        "facts_reader": ["grantee"],
        "facts_policy": ["policy"],
    }
    assert [extension["name"] for extension in facts["extensions"]] == ["plpgsql"]
    assert {"schemaName": "public", "name": "passing"} in facts["unloggedTables"]
    assert facts["flyway"] == [{"schemaName": "public", "version": "2.1"}]
    public = [entry for entry in facts["acl"] if "grantee" not in entry]
    assert [entry["privileges"] for entry in public] == [["CONNECT"]]
    for file in (*each.destination.rglob("*.manifest.json"), opened.folder / "manifest.json"):
        assert SECRET not in file.read_text()
    server.drop_database(name)
    server.execute("DROP ROLE facts_reader, facts_policy, facts_stranger")


def test_a_role_that_may_only_read_gets_all_facts(folder: Path, database: Database) -> None:
    server = database.server
    password = server.create_role("facts_only")
    server.execute("GRANT pg_read_all_data TO facts_only")
    database.execute(
        "DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP EXECUTE "
        "format('GRANT SELECT ON LARGE OBJECT %s TO facts_only', o); END LOOP; END $$"
    )
    try:
        opened = Site(folder / "site", Database(server, database.name, "facts_only", password)).succeeds()
        assert manifest_of(opened).notes == ()
        assert {name: table.rows for name, table in tables_of(opened).items()} == live_counts(database)
        assert facts_of(opened)["databaseBytes"] > 0
    finally:
        server.drop_database(database.name)
        server.execute("DROP ROLE facts_only")


def test_a_fact_that_cannot_be_read_is_a_note_and_no_failure(site: Site) -> None:
    site.database.execute(f"COMMENT ON DATABASE {site.database.name} IS '{'long ' * 1000}'")
    opened = site.succeeds()
    [note] = manifest_of(opened).notes
    assert "the owner, locale and privileges of the database could not be read" in note["note"]
    assert "owner" not in facts_of(opened)
    assert facts_of(opened)["databaseBytes"] > 0


def test_ten_thousand_tables_leave_the_manifest_small(folder: Path, own_server: Server) -> None:
    own_server.stop()
    own_server.settings = {"max_locks_per_transaction": "1024"}
    own_server.start()
    own_server.create_database("many", OWNER)
    for start in range(0, 10_000, 500):
        own_server.execute(
            f"DO $$ BEGIN SET ROLE {OWNER}; FOR i IN {start}..{start + 499} LOOP "
            "EXECUTE format('CREATE TABLE table_number_%s AS SELECT %s AS id FROM generate_series(1, %s)', i, i, i %% 3); "
            "END LOOP; END $$".replace("%%", "%"),
            "many",
        )
    database = Database(own_server, "many", OWNER, _password(own_server))
    site = Site(folder / "site", database, has_files=False)
    outcome = site.start().wait(240)
    opened = site.open(site.destination / outcome.succeeded().path)
    tables = tables_of(opened)
    assert len(tables) == 10_000
    assert all(table.rows == int(name.removeprefix("table_number_")) % 3 for (_, name), table in tables.items())
    assert (opened.folder / "manifest.json").stat().st_size < 20_000
    lines = gzip.decompress((opened.folder / "tables.json.gz").read_bytes()).splitlines()
    assert len(lines) == 10_002


def _password(server: Server) -> str:
    server.execute(f"ALTER ROLE {OWNER} PASSWORD 'many tables'")
    return "many tables"
