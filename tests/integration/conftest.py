"""What the tests of the runner share: servers, and a site of its own for each test."""

import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.postgres import Database, Server, running
from tests.integration.site import Site

SCRATCH = Path("/scratch")
TERMINATION_LOG = Path("/dev/termination-log")


@pytest.fixture(scope="session")
def worker_folder() -> Iterator[Path]:
    TERMINATION_LOG.touch()
    folder = SCRATCH / uuid.uuid4().hex
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.fixture(scope="session")
def servers(worker_folder: Path) -> Iterator[Callable[[int], Server]]:
    """Gives the running server of a major, started when it is first asked for."""
    with ExitStack() as stack:
        started: dict[int, Server] = {}

        def server(major: int) -> Server:
            if major not in started:
                started[major] = stack.enter_context(running(Server(major, worker_folder / f"server-{major}")))
            return started[major]

        yield server


@pytest.fixture
def folder(worker_folder: Path) -> Iterator[Path]:
    folder = worker_folder / uuid.uuid4().hex
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)  # trees here are deeper than Python's recursion


@pytest.fixture
def server(servers: Callable[[int], Server]) -> Server:
    return servers(17)


@pytest.fixture
def own_server(folder: Path) -> Iterator[Server]:
    """A server that a test may stop and spoil."""
    with running(Server(17, folder / "own-server")) as server:
        yield server


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    database = server.seeded_database(f"quotenode_{uuid.uuid4().hex[:8]}")
    yield database
    server.drop_database(database.name)


@pytest.fixture
def site(folder: Path, database: Database) -> Site:
    return Site(folder / "site", database)


@pytest.fixture
def empty_site(site: Site) -> Site:
    """A site whose claim holds no file yet."""
    for entry in site.uploads.iterdir():
        entry.unlink() if entry.is_file() else shutil.rmtree(entry)
    return site


@pytest.fixture
def big_site(server: Server, folder: Path) -> Iterator[Site]:
    """Enough rows that a dump takes a while and can be caught in the middle."""
    database = server.seeded_database(f"quotenode_{uuid.uuid4().hex[:8]}", ballast=True)
    yield Site(folder / "site", database)
    server.drop_database(database.name)
