"""A pooler between runner and server would hand one session's lock and snapshot to another: it is refused."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason
from tests.integration.postgres import AS_SYSTEM_USER
from tests.integration.site import HOST, Site
from tests.integration.waiting import eventually
from tests.ports import free_port


@contextmanager
def pgbouncer(site: Site, mode: str, folder: Path, *settings: str, auth: str = "scram-sha-256") -> Iterator[int]:
    port = free_port()
    database = site.database
    (folder / "users.txt").write_text(f'"{database.user}" "{database.password}"\n')
    lines = [
        "[databases]",
        f"* = host={HOST} port={database.server.port}",
        "[pgbouncer]",
        f"listen_addr = {HOST}",
        f"listen_port = {port}",
        f"pool_mode = {mode}",
        f"auth_type = {auth}",
        f"auth_file = {folder}/users.txt",
        "unix_socket_dir =",
        *settings,
    ]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    folder.chmod(0o755)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*AS_SYSTEM_USER, "pgbouncer", folder / "pgbouncer.ini"], stderr=log)
    try:
        eventually(lambda: "process up" in (folder / "log").read_text(), "pgbouncer listens")
        yield port
    finally:
        process.terminate()
        process.wait(10)


TOLERANT = "ignore_startup_parameters = extra_float_digits,options,application_name,client_encoding"


@pytest.mark.parametrize("settings", [(), (TOLERANT,)], ids=["as it comes", "tolerant"])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_is_refused(site: Site, folder: Path, mode: str, settings: tuple[str, ...]) -> None:
    with pgbouncer(site, mode, folder, *settings) as port:
        outcome = site.backup(site.plan(database={"port": port}))
    message = outcome.failed(Reason.POOLER_REFUSED, f"{HOST}:{port}")
    assert "pooler" in message.lower()
    assert not site.bundles()
    assert not [name for name, size in site.stored().items() if size]


def test_a_server_that_asks_for_the_password_in_cleartext_does_not_get_it(site: Site, folder: Path) -> None:
    with pgbouncer(site, "session", folder, auth="plain") as port:
        outcome = site.backup(site.plan(database={"port": port}))
    outcome.failed(Reason.SERVER_UNVERIFIED, f"{HOST}:{port}", "VerifyFull", "scram-sha-256")


@pytest.mark.parametrize("auth", ["md5", "trust"])
def test_a_server_that_does_not_prove_itself_is_not_quoted(site: Site, folder: Path, auth: str) -> None:
    """It goes on as far as it is allowed to: here a pooler is found out."""
    with pgbouncer(site, "session", folder, TOLERANT, auth=auth) as port:
        outcome = site.backup(site.plan(database={"port": port}))
    outcome.failed(Reason.POOLER_REFUSED, f"{HOST}:{port}")
