"""Names are data: exactly that database is backed up, and nothing else happens."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from quotenode_backup.domain.reasons import Reason
from tests.integration.postgres import Database, Server
from tests.integration.site import Site

STRANGE = {
    "quotes": """quote"node'; x=y""",
    "address": "postgres://evil/",
    "keywords": "host=evil dbname=other",
    "option": "-F",
    "long option": "--clean",
    "newline": "line\nbreak",
    "63 bytes": "ブ" * 21,
    "shell": "$(touch /x)",
    "backtick": "`id`",
    "format": "%s%n{0}",
    "backslash": "back\\slash\\",
    "colon": "a:b:c",
    "spaces": "  two  ",
    "star": "*",
    "path": "../../etc",
    "upper case": "QuoteNode",
    "quote": "'",
    "tab and bell": "\t\x07",
    "right to left": "עברית\u202e",
}


@pytest.fixture(params=list(STRANGE.values()), ids=list(STRANGE))
def strange(request: pytest.FixtureRequest, folder: Path, server: Server) -> Iterator[Site]:
    """A database whose name, role, schema and table all are that word."""
    name = request.param
    password = server.create_role(name)
    server.create_database(name, name)
    database = Database(server, name, name, password)
    with database.connect() as connection:
        fill(connection, name)
    yield Site(folder / "site", database)
    server.drop_database(name)
    with server.connect() as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def fill(connection: psycopg.Connection, name: str) -> None:
    word = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE SCHEMA {0} AUTHORIZATION {0}").format(word))
    connection.execute(sql.SQL("SET ROLE {}").format(word))
    connection.execute(sql.SQL("CREATE TABLE {0}.{0} ({0} text)").format(word))
    connection.execute(sql.SQL("INSERT INTO {0}.{0} VALUES ({1})").format(word, sql.Literal(name)))


def test_exactly_that_database_is_backed_up_and_nothing_else_happens(strange: Site) -> None:
    opened = strange.succeeds()
    assert strange.restored(opened) == strange.live()
    assert [path.name for path in strange.destination.iterdir()] == [strange.bundle_folder_name]
    target = json.dumps(opened.manifest, ensure_ascii=False)
    assert json.dumps(strange.database.name, ensure_ascii=False) in target


def test_a_strange_name_of_no_database_is_told_as_it_is(site: Site) -> None:
    for name in ("postgres://evil/", "dbname=postgres", "-F", "quotenode'"):
        site.fails(Reason.DATABASE_NOT_FOUND, name, plan=site.plan(database={"name": name}))


@pytest.mark.parametrize("host", ["-F", "host=evil", "$(touch /x)", "a b", "/scratch", "@evil"])
def test_a_strange_host_is_a_host_that_cannot_be_reached(site: Site, host: str) -> None:
    outcome = site.backup(site.plan(database={"host": host}))
    assert outcome.result.reason in {Reason.SOURCE_UNREACHABLE, Reason.PLAN_INVALID}, outcome.story
    assert host in outcome.result.message
    assert not site.stored()


@pytest.mark.parametrize(
    "password", ["a:b", "back\\slash\\:", "it's", 'say "x"', " two  ", "пароль ключ", "$(id) %s {0}", "#", "x" * 500]
)
def test_every_password_is_understood(site: Site, password: str) -> None:
    site.database.server.create_role("signs_in", password)
    try:
        site.database.execute("GRANT quotenode TO signs_in")
        site.secrets = {"username": b"signs_in", "password": password.encode()}
        site.backup().succeeded()
    finally:
        site.database.server.execute("DROP ROLE signs_in")


def test_a_password_of_several_lines_works_or_is_refused_in_words(site: Site) -> None:
    site.database.server.create_role("poet", "two\nlines")
    site.database.execute("GRANT quotenode TO poet")
    outcome = site.backup(secrets={"username": b"poet", "password": b"two\nlines"})
    if outcome.exit_code:
        assert "quotenode-db" in outcome.result.message, outcome.story
        assert outcome.exit_code in {77, 78}
    site.assert_nothing_left_behind()
    site.database.server.execute("DROP ROLE poet")


@pytest.mark.parametrize(("encoding", "text"), [("LATIN1", "Grüße"), ("EUC_JP", "日本語"), ("SQL_ASCII", "plain")])
def test_a_database_of_another_encoding_is_kept(folder: Path, server: Server, encoding: str, text: str) -> None:
    name = f"in_{encoding.lower()}"
    password = server.create_role(name)
    server.create_database(name, name, f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    site = Site(folder / "site", Database(server, name, name, password))
    with site.database.connect() as connection:
        connection.execute("CREATE TABLE texts (text text)")
        connection.execute("INSERT INTO texts VALUES (%s)", [text])
        connection.execute(sql.SQL("ALTER TABLE texts OWNER TO {}").format(sql.Identifier(name)))
    site.succeeds().restore_into(server, "restored_as_utf8")
    assert server.execute("SELECT text FROM texts", "restored_as_utf8") == [(text,)]
    server.drop_database("restored_as_utf8")
    server.drop_database(name)


def test_names_that_are_text_in_no_encoding_are_in_no_backups_way(folder: Path, server: Server) -> None:
    password = server.create_role("in_bytes")
    server.create_database("in_bytes", "in_bytes", "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    site = Site(folder / "site", Database(server, "in_bytes", "in_bytes", password))
    with site.database.connect() as connection:
        connection.execute("SET client_encoding TO SQL_ASCII; SET ROLE in_bytes")
        connection.execute(b'CREATE TABLE "caf\xe9" (a int)')
    site.backup().succeeded()
    server.drop_database("in_bytes")
