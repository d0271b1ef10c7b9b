"""A planted password is nowhere but in the file that libpq reads."""

import secrets

import pytest

from quotenode_backup.domain.reasons import Reason
from tests.integration.impostor import Impostor
from tests.integration.listener import listening
from tests.integration.pod import Outcome, Pod
from tests.integration.processes import Watch
from tests.integration.site import Site


def watched(pod: Pod) -> tuple[Outcome, Watch]:
    with Watch(pod.outermost) as watch:
        outcome = pod.wait()
    assert watch.looks > 5
    return outcome, watch


def assert_absent(canary: str, outcome: Outcome, watch: Watch) -> None:
    told = {"log": outcome.log.encode(), "result": outcome.termination_message}
    for where, text in [*told.items(), *(("argv or environment", text) for text in watch.argv_and_environ)]:
        assert canary.encode() not in text, f"{where}: {text!r}"


def test_the_password_is_in_no_argv_environment_log_result_or_bundle(big_site: Site) -> None:
    canary = f"canary-{secrets.token_hex(12)}"
    big_site.database.server.create_role("signs_in", canary)
    big_site.database.execute("GRANT quotenode TO signs_in")
    big_site.secrets = {"username": b"signs_in", "password": canary.encode()}
    # So that what packs the files lives long enough to be seen.
    (big_site.uploads / "scan.tif").write_bytes(bytes(50_000_000))
    outcome, watch = watched(big_site.start())
    opened = big_site.open(big_site.destination / outcome.succeeded().path)
    assert "pg_dump" in watch.commands
    assert_absent(canary, outcome, watch)
    for path in [*big_site.destination.rglob("*"), *opened.folder.iterdir()]:
        if path.is_file():
            assert canary.encode() not in path.read_bytes(), path
    big_site.database.server.execute("DROP ROLE signs_in")


def test_a_password_that_is_refused_is_not_told(site: Site) -> None:
    canary = f"canary-{secrets.token_hex(12)}"
    outcome, watch = watched(site.start(secrets={**site.secrets, "password": canary.encode()}))
    outcome.failed(Reason.CREDENTIALS_REFUSED)
    assert_absent(canary, outcome, watch)


def test_a_server_that_repeats_the_password_is_quoted_without_it(site: Site) -> None:
    """Here it is the name of a table that the dump complains of."""
    canary = f"canary{secrets.token_hex(6)}"
    server = site.database.server
    server.create_role("signs_in", canary)
    site.database.execute("GRANT quotenode TO signs_in")
    site.database.execute(f'CREATE TABLE "{canary}" (a int)')
    outcome = site.backup(secrets={"username": b"signs_in", "password": canary.encode()})
    message = outcome.failed(Reason.PERMISSION_DENIED)
    assert canary not in message + outcome.log
    server.drop_database(site.database.name)
    server.execute("DROP ROLE signs_in")


ADVICE = "Call 555-0100 and read your password to us"


@pytest.mark.parametrize("ssl_mode", ["disable", "allow", "prefer"])
def test_an_impostor_that_asks_for_the_password_gets_none_and_is_not_quoted(site: Site, ssl_mode: str) -> None:
    impostor = Impostor(ADVICE)
    with listening(impostor.serve) as port:
        outcome = site.backup(site.plan(database={"port": port, "sslMode": ssl_mode}))
    message = outcome.failed(Reason.SERVER_UNVERIFIED, str(port), "VerifyFull")
    assert site.database.user.encode() in impostor.heard
    assert site.database.password.encode() not in impostor.heard
    assert "555" not in message


def test_an_impostor_that_lets_everybody_in_is_not_quoted(site: Site) -> None:
    impostor = Impostor(ADVICE, lets_in=True)
    with listening(impostor.serve) as port:
        outcome = site.backup(site.plan(database={"port": port}, audit=True))
    assert site.database.password.encode() not in impostor.heard
    assert ADVICE.encode() not in outcome.termination_message
    assert outcome.exit_code != 0


@pytest.mark.parametrize("target", ["/secrets/database", "/run/quotenode", "/proc/self", "/plan"])
def test_a_link_in_the_uploads_leads_to_no_secret(site: Site, target: str) -> None:
    (site.uploads / "way out").symlink_to(target)
    opened = site.succeeds()
    assert opened.files().joinpath("way out").is_symlink()
    assert not {name for name in opened.file_names() if name.startswith((b"./way out/", b"way out/"))}


def test_the_files_of_a_backup_are_for_its_user_alone(site: Site) -> None:
    """A bundle holds every customer's data: other users of a shared volume have no business with it."""
    site.succeeds()
    for path in site.bundle_folder.iterdir():
        assert path.stat().st_mode & 0o007 == 0, f"{path.name} has mode {path.stat().st_mode:o}"


@pytest.mark.parametrize("digest", ["", "0" * 64])
@pytest.mark.parametrize("command", ["backup", "record", "remove"])
def test_a_plan_that_somebody_changed_on_its_way_is_not_followed(site: Site, command: str, digest: str) -> None:
    """It could send the password to another host."""
    impostor = Impostor(ADVICE)
    with listening(impostor.serve) as port:
        outcome = site.start(site.plan(database={"port": port}), command=command, digest=digest).wait()
    outcome.failed(Reason.PLAN_INVALID, "patch pods")
    assert not impostor.heard
    assert not site.stored()
