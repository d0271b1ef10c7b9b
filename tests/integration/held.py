"""A backup caught in the middle of its dump."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.pod import Pod
from tests.integration.postgres import Database
from tests.integration.processes import freeze, thaw
from tests.integration.site import Site
from tests.integration.waiting import eventually


@contextmanager
def dump_under_way(site: Site, plan: bytes | None = None) -> Iterator[Pod]:
    """Caught while rows are on their way: pg_dump stands still, and the server waits for it to take more."""
    pod = site.start(plan)
    dump = pod.child("pg_dump --format")  # not the one that only tells its version
    try:
        while not stopped_amid_rows(site.database, pod, dump):
            thaw(dump)
        yield pod
    finally:
        thaw(dump)


def stopped_amid_rows(database: Database, pod: Pod, dump: int) -> bool:
    """Stops pg_dump at the next table; false if the rows of that table fit into the buffers between the two."""
    eventually(lambda: dumping(database, pod), "a dump is under way")
    freeze(dump)
    return eventually(database.dump_waits_for, "the server waits for pg_dump") == "ClientWrite"


def dumping(database: Database, pod: Pod) -> int | None:
    assert pod.is_running(), pod.wait().story
    return database.dump_backend()
