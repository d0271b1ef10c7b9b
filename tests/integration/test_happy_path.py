"""A backup that goes well, opened and restored with standard tools alone."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration import trees
from tests.integration.bundles import command
from tests.integration.pod import USER
from tests.integration.postgres import Database, Server
from tests.integration.processes import Watch
from tests.integration.site import Site
from tests.integration.waiting import eventually

CLIENT_OF_SERVER = {15: 15, 17: 17}
DESCRIBED = {"backup.dump", "tables.json.gz", "checksums.sha256", "manifest.json"}
"""The members of a bundle without files."""


@pytest.mark.parametrize("compression", ["Zstd", "Gzip", "None"])
@pytest.mark.parametrize("major", [15, 17])
def test_a_bundle_restored_by_hand_equals_the_source(
    folder: Path, servers: Callable[[int], Server], major: int, compression: str
) -> None:
    database = servers(major).seeded_database(f"quotenode_{compression.lower()}")
    site = Site(folder / "site", database, compression)
    opened = site.succeeds()
    site.assert_equals(opened)
    assert opened.members() == {*DESCRIBED, "files.tar.gz", "files.index.zst"}
    listing = command(["pg_restore", "--list", opened.dump]).stdout.decode()
    assert f"Dumped by pg_dump version: {CLIENT_OF_SERVER[major]}." in listing
    database.server.drop_database(database.name)


def test_the_result_the_manifest_and_the_bundle_agree(site: Site) -> None:
    plan = site.plan(runUid="11111111-2222-3333-4444-555555555555")
    stored = site.backup(plan).succeeded()
    bundle = site.destination / stored.path
    assert bundle.parent == site.bundle_folder
    assert stored.size_bytes == bundle.stat().st_size
    assert stored.sha256 == hashlib.sha256(bundle.read_bytes()).hexdigest()
    opened = site.open(bundle)
    assert opened.manifest["runUid"] == "11111111-2222-3333-4444-555555555555"
    for component, member in ((stored.database, "backup.dump"), (stored.files, "files.tar.gz")):
        assert component is not None
        assert component.size_bytes == (opened.folder / member).stat().st_size
        assert component.sha256 == hashlib.sha256((opened.folder / member).read_bytes()).hexdigest()
    assert bundle.with_name(f"{bundle.name}.manifest.json").is_file()


def test_a_site_without_files_gives_a_bundle_without_an_archive(site: Site) -> None:
    site.has_files = False
    opened = site.succeeds()
    site.assert_equals(opened)
    assert opened.members() == DESCRIBED


def test_an_empty_claim_gives_an_archive_that_extracts_to_nothing(empty_site: Site) -> None:
    empty_site.assert_equals(empty_site.succeeds())


def test_an_empty_database_is_a_backup_too(folder: Path, server: Server) -> None:
    password = server.create_role("newcomer")
    server.create_database("nothing yet", "newcomer")
    site = Site(folder / "site", Database(server, "nothing yet", "newcomer", password))
    site.succeeds()


def test_each_source_has_its_folder_in_the_archive(site: Site) -> None:
    second = site.folder / "source" / "1" / "generated" / "pdfs"
    trees.write(second / "invoice.pdf", b"an invoice")
    trees.own(site.folder / "source" / "1", USER)
    files = [
        {"name": "uploads", "claimName": "quotenode-uploads", "subPath": "images"},
        {"name": "pdfs", "claimName": "quotenode-pdfs", "subPath": "generated/pdfs"},
    ]
    extracted = site.succeeds(site.plan(files=files)).files()
    assert trees.snapshot(extracted / "uploads") == trees.snapshot(site.uploads / "images")
    assert (extracted / "pdfs" / "invoice.pdf").read_bytes() == b"an invoice"


def test_bundles_stand_below_the_sub_path_of_the_claim(site: Site) -> None:
    stored = site.backup(site.plan(local={"subPath": "backups/quote node"})).succeeded()
    assert stored.path.startswith(f"backups/quote node/{site.bundle_folder_name}/")
    assert (site.destination / stored.path).is_file()


def test_settings_that_end_long_sessions_do_not_end_a_backup(big_site: Site) -> None:
    for setting in (
        "statement_timeout = '80ms'",
        "lock_timeout = '50ms'",
        "idle_in_transaction_session_timeout = '80ms'",
        "transaction_timeout = '80ms'",
        "default_transaction_isolation = 'serializable'",
        "client_encoding = 'LATIN1'",
        "search_path = 'nowhere'",
        "extra_float_digits = -15",
        "bytea_output = 'escape'",
    ):
        big_site.database.execute(f"ALTER ROLE quotenode IN DATABASE {big_site.database.name} SET {setting}")
    for setting in ("idle_in_transaction_session_timeout = '80ms'", "transaction_timeout = '80ms'"):
        big_site.database.execute(f"ALTER ROLE quotenode IN DATABASE postgres SET {setting}")
    try:
        big_site.works_again()
    finally:
        big_site.database.execute("ALTER ROLE quotenode IN DATABASE postgres RESET ALL")


def test_an_open_transaction_is_not_in_the_dump(site: Site) -> None:
    with site.database.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO customers (name) VALUES ('not yet')")
        opened = site.succeeds()
        connection.execute("ROLLBACK")
    site.assert_equals(opened)


@contextmanager
def writing_all_the_time(site: Site) -> Iterator[Callable[[], int]]:
    """Writes a file, then commits the row that names it, over and over; gives how often so far."""
    enough = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with site.database.connect() as connection:
            while not enough.is_set():
                name = f"written-{written:06d}.pdf"
                trees.write(site.uploads / "offers" / name, f"content of {name}".encode() * 50, 0o644)
                connection.execute("INSERT INTO documents (file_name) VALUES (%s)", [name])
                connection.execute("UPDATE products SET price = price + 1 WHERE id <= 2")
                written += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield lambda: written
    finally:
        enough.set()
        thread.join()


def test_beside_a_busy_writer_every_file_that_a_row_names_is_in_the_archive(big_site: Site) -> None:
    with writing_all_the_time(big_site) as written:
        eventually(lambda: written() > 50, "the writer writes")
        before = written()
        opened = big_site.succeeds()
        assert written() > before + 50, "the writer stood still"
    opened.restore_into(big_site.database.server, "restored_beside_writer")
    server = big_site.database.server
    named = {name for (name,) in server.execute("SELECT file_name FROM documents", "restored_beside_writer")}
    prices = server.execute(
        "SELECT DISTINCT round(price - id / 7.0) FROM products WHERE id <= 2", "restored_beside_writer"
    )
    server.drop_database("restored_beside_writer")
    offers = opened.files() / "offers"
    missing = {name for name in named if not (offers / name.replace("doc-", "doc-")).is_file()}
    assert not missing
    assert len(named) > before
    assert len(prices) == 1, "two rows that always change together differ: not one snapshot"
    for name in named - {f"doc-{number}.pdf" for number in range(1, 6)}:
        assert (offers / name).read_bytes() == f"content of {name}".encode() * 50


def test_memory_stays_small_whatever_the_size(big_site: Site) -> None:
    noise = bytes(range(256)) * 4096
    for number in range(40):
        trees.write(
            big_site.uploads / "many" / f"{number}.bin", hashlib.sha256(str(number).encode()).digest() + noise * 8
        )
    for number in range(5000):
        trees.write(big_site.uploads / "small" / str(number % 50) / f"{number}.txt", str(number))
    trees.own(big_site.uploads, USER)
    pod = big_site.start()
    with Watch(pod.outermost) as watch:
        pod.wait(100).succeeded()
    assert watch.looks > 20
    assert "pg_dump" in watch.commands
    assert watch.peak_bytes < 200 * 2**20, f"{watch.peak_bytes / 2**20:.0f} MiB"
