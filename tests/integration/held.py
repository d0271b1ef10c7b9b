"""A backup caught in the middle of its dump."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.pod import Pod
from tests.integration.postgres import Database
from tests.integration.processes import frozen
from tests.integration.site import Site
from tests.integration.waiting import eventually


@contextmanager
def dump_under_way(site: Site, plan: bytes | None = None) -> Iterator[Pod]:
    """Caught while rows are on their way: pg_dump stands still, and the server waits for it to take more."""
    pod = site.start(plan)
    dump = pod.child("pg_dump --format")  # not the one that only tells its version
    eventually(lambda: dumping(site.database, pod), "a dump is under way")
    with frozen(dump):
        eventually(site.database.waits_for_client, "the server waits for pg_dump")
        yield pod


def dumping(database: Database, pod: Pod) -> int | None:
    assert pod.is_running(), pod.wait().story
    return database.dump_backend()
