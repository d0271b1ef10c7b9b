"""The fault table: for each fault the reason, the exit code, a time limit, and a message that names the thing and the remedy."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason
from tests.integration import trees
from tests.integration.bundles import command
from tests.integration.listener import listening
from tests.integration.pod import USER
from tests.integration.postgres import Server, running
from tests.integration.site import HOST, Site


def test_a_wrong_password_is_told_without_the_password(site: Site) -> None:
    site.secrets["password"] = b"not the password"
    message = site.fails(Reason.CREDENTIALS_REFUSED, "quotenode", "quotenode-db")
    assert "not the password" not in message


def test_an_unknown_role_is_refused_by_name(site: Site) -> None:
    site.secrets["username"] = b"nobody"
    site.fails(Reason.CREDENTIALS_REFUSED, "nobody", "quotenode-db")


def test_a_role_that_may_not_sign_in_is_refused_by_name(site: Site) -> None:
    site.database.server.create_role("retired", "password")
    site.database.execute("ALTER ROLE retired NOLOGIN")
    site.secrets |= {"username": b"retired", "password": b"password"}
    site.fails(Reason.CREDENTIALS_REFUSED, "retired")
    site.database.execute("DROP ROLE retired")


def test_an_unknown_database_is_named_with_its_host(site: Site) -> None:
    site.fails(Reason.DATABASE_NOT_FOUND, "quotenot", HOST, plan=site.plan(database={"name": "quotenot"}))


def test_an_unknown_host_is_unreachable(site: Site) -> None:
    plan = site.plan(database={"host": "no-such-database.shop.svc"})
    site.fails(Reason.SOURCE_UNREACHABLE, "no-such-database.shop.svc", plan=plan)


def test_a_host_where_nothing_listens_is_unreachable(site: Site) -> None:
    site.fails(Reason.SOURCE_UNREACHABLE, f"{HOST}:1", plan=site.plan(database={"port": 1}))


def test_a_host_that_never_answers_is_unreachable(site: Site) -> None:
    with listening(lambda _: None) as port:
        site.fails(Reason.SOURCE_UNREACHABLE, f"{HOST}:{port}", plan=site.plan(database={"port": port}))


def test_a_host_that_is_no_database_is_unreachable(site: Site) -> None:
    def say(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        connection.close()

    with listening(say) as port:
        site.fails(Reason.SOURCE_UNREACHABLE, f"{HOST}:{port}", plan=site.plan(database={"port": port}))


def test_a_server_that_takes_no_more_connections_is_unreachable(site: Site) -> None:
    site.database.execute(f"ALTER DATABASE {site.database.name} CONNECTION LIMIT 0")
    site.fails(Reason.SOURCE_UNREACHABLE, site.database.name)


def test_a_role_that_may_not_enter_the_database_is_denied(site: Site) -> None:
    site.database.execute(f"REVOKE CONNECT ON DATABASE {site.database.name} FROM public, quotenode")
    site.fails(Reason.PERMISSION_DENIED, site.database.name, "quotenode")


def reader(site: Site, *grants: str) -> None:
    """Sign in as a role that has only these rights."""
    server = site.database.server
    if not server.query("SELECT 1 FROM pg_roles WHERE rolname = 'reader'"):
        server.create_role("reader", "reads")
    for grant in grants:
        site.database.execute(f"GRANT {grant} TO reader")
    site.secrets |= {"username": b"reader", "password": b"reads"}


EVERYTHING = (
    "SELECT ON ALL TABLES IN SCHEMA public",
    "SELECT ON ALL SEQUENCES IN SCHEMA public",
    "USAGE ON SCHEMA public",
)


def test_a_role_that_may_read_everything_makes_a_backup(site: Site) -> None:
    reader(site, *EVERYTHING)
    site.database.execute(
        "DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP "
        "EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO reader', o); END LOOP; END $$"
    )
    site.assert_equals(site.succeeds())


def test_a_table_that_the_role_may_not_read_is_named(site: Site) -> None:
    reader(site, *EVERYTHING)
    site.database.execute("REVOKE SELECT ON offers FROM reader")
    site.fails(Reason.PERMISSION_DENIED, "offers", "reader")


def test_a_table_of_a_strange_name_that_the_role_may_not_read_is_told_on_one_line(site: Site) -> None:
    site.database.execute("""CREATE SCHEMA "my ""schema"; CREATE TABLE "my ""schema"."Line\nbreak" (a int)""")
    reader(site, *EVERYTHING)
    message = site.fails(Reason.PERMISSION_DENIED, "reader")
    assert "\n" not in message


def test_a_sequence_that_the_role_may_not_read_is_named(site: Site) -> None:
    reader(site, *EVERYTHING)
    site.database.execute("REVOKE SELECT ON SEQUENCE offers_id_seq FROM reader")
    site.fails(Reason.PERMISSION_DENIED, "offers_id_seq", "reader")


def test_a_large_object_that_the_role_may_not_read_denies_the_backup(site: Site) -> None:
    reader(site, *EVERYTHING)
    site.fails(Reason.PERMISSION_DENIED, "large object", "reader")


def test_rows_that_are_hidden_from_the_role_are_not_left_out_in_silence(site: Site) -> None:
    reader(site, *EVERYTHING)
    site.database.execute("ALTER TABLE offers ENABLE ROW LEVEL SECURITY")
    site.fails(Reason.PERMISSION_DENIED, "offers")


def test_a_secret_that_is_not_there_is_named(site: Site) -> None:
    site.fails(Reason.SECRET_MISSING, "quotenode-db", secrets={})


@pytest.mark.parametrize("key", ["username", "password"])
def test_a_key_that_is_not_in_the_secret_is_named(site: Site, key: str) -> None:
    secrets = {name: value for name, value in site.secrets.items() if name != key}
    plan = site.plan(database={f"{key}Key": f"the-{key}"})
    site.fails(Reason.SECRET_MISSING, "quotenode-db", f"the-{key}", plan=plan, secrets=secrets)


def test_an_empty_username_counts_as_missing(site: Site) -> None:
    site.fails(Reason.SECRET_MISSING, "quotenode-db", secrets={**site.secrets, "username": b"\n"})


def test_a_secret_that_ends_with_a_newline_is_understood(site: Site) -> None:
    site.secrets = {name: value + b"\n" for name, value in site.secrets.items()}
    site.works_again()


def test_a_server_newer_than_every_client_is_told_with_both_versions(
    folder: Path, servers: Callable[[int], Server]
) -> None:
    site = Site(folder / "site", servers(18).seeded_database("too_new"))
    site.fails(Reason.SERVER_TOO_NEW, "18", "17")


def test_a_server_that_the_authority_did_not_sign_is_not_trusted(folder: Path) -> None:
    with server_with_tls(folder) as (server, authority, stranger):
        site = Site(folder / "site", server.seeded_database("quotenode"))
        strict = {"host": "localhost", "sslMode": "verify-full", "caSecret": "quotenode-ca", "caKey": "ca.crt"}
        plan = site.plan(database=strict)
        site.backup(plan, ca=authority).succeeded()
        site.backup(plan, ca=stranger).failed(Reason.SOURCE_UNREACHABLE, "certificate")
        site.backup(plan).failed(Reason.SECRET_MISSING, "quotenode-ca")
        site.assert_server_is_free()


@contextmanager
def server_with_tls(folder: Path) -> Iterator[tuple[Server, bytes, bytes]]:
    """A server with a certificate for localhost, the authority it comes from, and one that it does not come from."""
    own, other = certificate(folder, "own"), certificate(folder, "other")
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(own.with_suffix(".crt")),
        "ssl_key_file": str(own.with_suffix(".key")),
    }
    with running(Server(17, folder / "tls-server", settings)) as server:
        yield server, own.with_suffix(".crt").read_bytes(), other.with_suffix(".crt").read_bytes()


def certificate(folder: Path, name: str) -> Path:
    stem = folder / name
    files: list[str | Path] = ["-keyout", stem.with_suffix(".key"), "-out", stem.with_suffix(".crt")]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command(["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", *files, *subject])
    command(["chown", "postgres", stem.with_suffix(".key"), stem.with_suffix(".crt")])
    folder.chmod(0o755)
    return stem


def test_tls_asked_of_a_server_without_it_is_told(site: Site) -> None:
    site.fails(Reason.SOURCE_UNREACHABLE, "SSL", plan=site.plan(database={"sslMode": "require"}))


def test_a_path_that_is_not_in_the_claim_is_named_with_the_claim(site: Site) -> None:
    files = [{"name": ".", "claimName": "quotenode-uploads", "subPath": "uploads/2026"}]
    site.fails(Reason.SOURCE_PATH_MISSING, "quotenode-uploads", "uploads/2026", plan=site.plan(files=files))


def test_a_path_that_is_a_file_is_no_folder_to_back_up(site: Site) -> None:
    files = [{"name": ".", "claimName": "quotenode-uploads", "subPath": "images/logo.png"}]
    site.fails(Reason.SOURCE_PATH_MISSING, "images/logo.png", plan=site.plan(files=files))


@pytest.mark.parametrize("target", ["/etc", "/secrets/database", "../../secrets", "/run/quotenode"])
@pytest.mark.parametrize("path", ["way", "folder/way"])
def test_a_path_that_is_a_link_out_of_the_claim_is_not_followed(site: Site, target: str, path: str) -> None:
    (site.uploads / "folder").mkdir()
    (site.uploads / path).symlink_to(target)
    files = [{"name": ".", "claimName": "quotenode-uploads", "subPath": path}]
    site.fails(Reason.SOURCE_PATH_MISSING, "quotenode-uploads", plan=site.plan(files=files))


@pytest.mark.parametrize("path", ["..", "../..", "../../etc", "/etc", "images/../../../etc"])
def test_a_path_out_of_the_claim_is_refused(site: Site, path: str) -> None:
    files = [{"name": ".", "claimName": "quotenode-uploads", "subPath": path}]
    site.fails(Reason.SOURCE_PATH_MISSING, "quotenode-uploads", plan=site.plan(files=files))


@pytest.mark.parametrize("path", ["way", "way/deeper"])
def test_a_destination_that_is_a_link_is_not_followed(site: Site, path: str) -> None:
    (site.destination / "way").symlink_to("/run/quotenode")
    site.fails(Reason.DESTINATION_NOT_WRITABLE, "quotenode-backups", plan=site.plan(local={"subPath": path}))


def test_a_link_in_the_place_of_the_folder_of_the_bundles_is_not_followed(site: Site) -> None:
    (site.destination / site.bundle_folder_name).symlink_to("/run/quotenode")
    site.backup().failed(Reason.DESTINATION_NOT_WRITABLE, "quotenode-backups")


def test_a_destination_mounted_read_only_is_told(site: Site) -> None:
    site.fails(Reason.DESTINATION_NOT_WRITABLE, "quotenode-backups", destination_mode="ro")


def test_a_destination_of_someone_else_is_told_with_the_user_and_the_remedy(site: Site) -> None:
    trees.own(site.destination, 0)
    site.destination.chmod(0o755)
    site.fails(Reason.DESTINATION_NOT_WRITABLE, "quotenode-backups", str(USER), "fsGroup")


def test_a_destination_that_is_a_file_is_left_as_it_is(site: Site) -> None:
    (site.destination / "backups").write_text("in the way")
    site.fails(Reason.DESTINATION_NOT_WRITABLE, "backups", plan=site.plan(local={"subPath": "backups"}))


def test_a_file_that_cannot_be_read_fails_the_backup_until_it_can(site: Site) -> None:
    (site.uploads / "offers" / "doc-3.pdf").chmod(0)
    site.fails(Reason.FILE_UNREADABLE, "offers/doc-3.pdf", "quotenode-uploads")
    (site.uploads / "offers" / "doc-3.pdf").chmod(0o600)
    site.works_again()


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_folder_that_cannot_be_read_fails_the_backup(site: Site, mode: int) -> None:
    (site.uploads / "offers").chmod(mode)
    site.fails(Reason.FILE_UNREADABLE, "offers")


@pytest.mark.parametrize(
    "plan",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        json.dumps({"version": 2}).encode(),
        b'{"version": 1, "runUid": "x"}',
        b"[" * 100_000,
    ],
)
def test_a_plan_that_cannot_be_understood_is_refused(site: Site, plan: bytes) -> None:
    site.fails(Reason.PLAN_INVALID, plan=plan)


def test_a_plan_with_a_field_that_this_release_does_not_know_is_refused_by_that_field(site: Site) -> None:
    site.fails(Reason.PLAN_INVALID, "encryption", plan=site.plan(encryption={"recipients": ["someone"]}))


def test_the_database_of_the_lock_may_be_closed_to_the_role(folder: Path, own_server: Server) -> None:
    site = Site(folder / "site", own_server.seeded_database("quotenode"))
    own_server.execute("REVOKE CONNECT ON DATABASE postgres FROM public")
    site.fails(Reason.PERMISSION_DENIED, "postgres", "quotenode")
    own_server.execute("GRANT CONNECT ON DATABASE postgres TO quotenode")
    site.works_again()
