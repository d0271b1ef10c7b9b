"""A backup caught in the middle of its dump."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.backups import running_pod
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.sessions import dump_waits, open_transaction
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

# pg_dump gives up a table of the user's after half a minute; for those of the system it waits as long as it must. Both are of the few that
# a new session never opens.
LOCK = "LOCK TABLE pg_largeobject IN ACCESS EXCLUSIVE MODE"
"""Held, pg_dump waits when it has read every row of every table."""
EARLY_LOCK = "LOCK TABLE pg_description IN ACCESS EXCLUSIVE MODE"
"""Held, pg_dump waits when it has its snapshot and has read no row."""


@contextmanager
def dump_held(namespace: Namespace, quotenode: QuoteNode, backup: Json, lock: str = LOCK) -> Iterator[None]:
    """The dump stands still, however long it takes, and afterwards goes on if it still can."""
    with open_transaction(quotenode, lock):
        namespace.apply(backup)
        running_pod(namespace, backup["metadata"]["name"], 90)  # before that there is no dump to ask the database for
        eventually(lambda: dump_waits(quotenode), "the dump has begun and waits", 90)
        yield
