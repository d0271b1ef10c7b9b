"""How a database is addressed, and what its refusals mean: in any language, by SQLSTATE."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from quotenode_backup.contract.plans import Compression
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres import clients
from quotenode_backup.runner.postgres.clients import Client, connection_string
from quotenode_backup.runner.postgres.credentials import Credentials
from quotenode_backup.runner.postgres.dump_failure import dump_failure
from quotenode_backup.runner.postgres.refusals import refusal
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.postgres.sessions import lock_key
from quotenode_backup.runner.process.display import Redactor
from quotenode_backup.runner.process.pipeline import Exit
from tests.unit.fakes.site import make_plan


def a_server() -> Server:
    return Server(make_plan().database, Credentials("app", "secret"), None, Redactor())


SERVER = a_server()
FAILED = 'connection to server at "db" (10.0.0.7), port 5432 failed: '
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63)


@given(names)
def test_libpq_takes_any_database_name_for_a_name(name: str) -> None:
    parsed = conninfo_to_dict(connection_string(name, 170000))
    assert parsed["dbname"] == name
    assert not {"host", "user", "password", "service"} & set(parsed)


@pytest.mark.parametrize(
    ("words", "reason", "named"),
    [
        (
            FAILED + 'FATAL:  28P01: password authentication failed for user "app"\nLOCATION:  x',
            Reason.CREDENTIALS_REFUSED,
            "app",
        ),
        (
            FAILED + "SCHWERWIEGEND:  28P01: Passwort-Authentifizierung fehlgeschlagen",
            Reason.CREDENTIALS_REFUSED,
            "quotenode-db",
        ),
        (FAILED + "FATAL:  28000: no pg_hba.conf entry", Reason.CREDENTIALS_REFUSED, "pg_hba.conf"),
        (FAILED + 'ВАЖНО:  3D000: база данных "x" не существует', Reason.DATABASE_NOT_FOUND, "spec.database.name"),
        (FAILED + "FATAL:  42501: permission denied for database", Reason.PERMISSION_DENIED, "GRANT CONNECT"),
        (FAILED + "FATAL:  57P03: the database system is starting up", Reason.SOURCE_UNREACHABLE, "starting up"),
        (FAILED + "FATAL:  53300: sorry, too many clients already", Reason.SOURCE_UNREACHABLE, "max_connections"),
        (FAILED + "FATAL:  XX000: anything", Reason.SOURCE_UNREACHABLE, "SQLSTATE XX000"),
        (FAILED + "Connection refused", Reason.SOURCE_UNREACHABLE, "nothing listens there"),
        (FAILED + "SSL error: certificate verify failed", Reason.SOURCE_UNREACHABLE, "certificate"),
        (
            FAILED + "server does not support SSL, but SSL was required",
            Reason.SOURCE_UNREACHABLE,
            "does not support SSL",
        ),
        (
            FAILED + 'authentication method requirement "!password" failed: server requested a cleartext password',
            Reason.SERVER_UNVERIFIED,
            "VerifyFull",
        ),
        (FAILED + "anything at all", Reason.SOURCE_UNREACHABLE, "not PostgreSQL"),
        (
            'could not translate host name "db" to address: Name or service not known',
            Reason.SOURCE_UNREACHABLE,
            "db:5432",
        ),
    ],
)
def test_a_refused_connection_is_explained_by_its_sqlstate(words: str, reason: Reason, named: str) -> None:
    failure = refusal(SERVER, "quotenode", words)
    assert failure.reason is reason
    assert named in failure.message


HOSTILE = "Call 555-0100 and read your password to us"


@pytest.mark.parametrize("code", ["28P01", "28000", "3D000", "42501", "53300", "57P03", "XX000"])
def test_no_message_of_a_server_is_quoted_before_a_session(code: str) -> None:
    assert "555" not in refusal(SERVER, "quotenode", f"{FAILED}FATAL:  {code}: {HOSTILE}").message
    assert "555" not in refusal(SERVER, "quotenode", FAILED + HOSTILE).message


def test_a_server_that_has_not_proven_itself_is_not_quoted_in_a_session_either() -> None:
    """But for one whose certificate was verified."""
    server = a_server()
    assert "555" in dump_failure(server, Exit("pg_dump", 1, HOSTILE), has_waited=True).message
    server.proof.is_given = False
    assert "555" not in dump_failure(server, Exit("pg_dump", 1, HOSTILE), has_waited=True).message
    assert server.require_auth == "!password"
    verified = replace(server, planned=server.planned.model_copy(update={"ssl_mode": "verify-full"}))
    assert "555" in dump_failure(verified, Exit("pg_dump", 1, HOSTILE), has_waited=True).message
    assert verified.require_auth is None


def test_a_name_in_the_database_is_quoted_up_to_its_limit() -> None:
    server = a_server()
    assert server.quote_name("a\x1b[1m\nb", 40) == "a\\x1b[1m b"
    assert server.quote_name("x" * 50, 40) == "x" * 39 + "…"


def test_of_a_server_that_has_not_proven_itself_not_even_a_name_is_quoted(caplog: pytest.LogCaptureFixture) -> None:
    server = a_server()
    server.proof.is_given = False
    assert server.quote_name(HOSTILE, 40) == "(its name is only in the log of the pod)"
    assert HOSTILE in caplog.text


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("pg_dump: error: query failed: server closed the connection unexpectedly", Reason.SOURCE_CONNECTION_LOST),
        ("pg_dump: error: query failed: ERROR:  permission denied for table offers", Reason.PERMISSION_DENIED),
        (
            "pg_dump: error: query failed: FEHLER: x\npg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE",
            Reason.TABLE_LOCKED,
        ),
        ("pg_dump: error: invalid page in block 7", Reason.DUMP_FAILED),
        ("", Reason.DUMP_FAILED),
    ],
)
def test_a_failed_dump_is_explained_by_the_messages_of_pg_dump(said: str, reason: Reason) -> None:
    assert dump_failure(SERVER, Exit("pg_dump", 1, said), has_waited=True).reason is reason


LOCKED_OUT = (
    "pg_dump: error: query failed: FEHLER: x\npg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE"
)


def test_a_lock_that_was_refused_at_once_is_not_reported_as_a_locked_table() -> None:
    assert dump_failure(SERVER, Exit("pg_dump", 1, LOCKED_OUT), has_waited=False).reason is Reason.DUMP_FAILED
    full = dump_failure(
        SERVER, Exit("pg_dump", 1, "pg_dump: error: query failed: ERROR:  out of shared memory"), has_waited=True
    )
    assert full.reason is Reason.DUMP_FAILED
    assert "max_locks_per_transaction" in full.message


CLIENTS = [Client(major, Path("/usr/lib/postgresql") / str(major) / "bin") for major in (15, 17)]


@pytest.mark.parametrize(("server", "chosen"), [(12, 15), (15, 15), (16, 17), (17, 17)])
def test_a_server_is_dumped_by_its_own_major_or_the_next_higher(server: int, chosen: int) -> None:
    assert clients.choose(server, CLIENTS, "db:5432").major == chosen


def test_a_server_newer_than_every_client_is_refused_with_all_versions() -> None:
    with pytest.raises(RunFailed, match=r"18, newer than every client in this image \(15, 17\)") as failure:
        clients.choose(18, CLIENTS, "db:5432")
    assert failure.value.reason is Reason.SERVER_TOO_NEW


def test_clients_are_found_where_debian_puts_them(tmp_path: Path) -> None:
    for name in ("17", "9.6", "15", "16"):
        (tmp_path / name / "bin").mkdir(parents=True)
    for name in ("17", "15"):
        (tmp_path / name / "bin" / "pg_dump").touch()
    assert [client.major for client in clients.installed(tmp_path)] == [15, 17]


def pg_dump_that(folder: Path, script: str) -> Client:
    client = Client(17, folder)
    Path(client.pg_dump).write_text(f"#!/bin/sh\n{script}\n")
    Path(client.pg_dump).chmod(0o755)
    return client


def test_pg_dump_tells_its_version_and_sees_nothing_of_the_runners_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEFT_OVER", "x")
    client = pg_dump_that(tmp_path, 'echo "pg_dump (PostgreSQL) 17.10$LEFT_OVER"')
    assert clients.version(client, {"PATH": "/usr/bin:/bin"}) == "17.10"


@pytest.mark.parametrize("script", ["exit 3", "true", "echo 17", "exec sleep 60"])
def test_a_pg_dump_that_does_not_tell_its_version_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(clients, "VERSION_SECONDS", 1)
    client = pg_dump_that(tmp_path, script)
    with pytest.raises(RunFailed, match=f"{client.pg_dump} does not tell its version") as failure:
        clients.version(client, {"PATH": "/usr/bin:/bin"})
    assert failure.value.reason is Reason.INTERNAL_ERROR


def test_a_missing_pg_dump_is_named() -> None:
    with pytest.raises(RunFailed, match="/nowhere/pg_dump does not tell its version"):
        clients.version(Client(17, Path("/nowhere")), {})


@pytest.mark.parametrize(
    ("wanted", "major", "option"),
    [
        (Compression.ZSTD, 17, "zstd:1"),
        (Compression.ZSTD, 15, "1"),
        (Compression.GZIP, 17, "1"),
        (Compression.GZIP, 15, "1"),
        (Compression.NONE, 17, "0"),
        (Compression.NONE, 15, "0"),
    ],
)
def test_compression_is_what_the_client_can_do(wanted: Compression, major: int, option: str) -> None:
    assert clients.compress_option(wanted, major) == option


@pytest.mark.parametrize("other", [lambda: lock_key(8, "quotenode"), lambda: lock_key(7, "quotenode2")])
def test_each_database_of_a_server_has_a_lock_of_its_own(other: Callable[[], int]) -> None:
    assert lock_key(7, "quotenode") == lock_key(7, "quotenode") != other()
    assert -(2**63) <= lock_key(7, "quotenode") < 2**63
