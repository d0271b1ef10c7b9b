"""A backup caught in the middle of its dump."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.kubectl import Json, Namespace
from tests.e2e.sessions import dump_waits, open_transaction
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

# pg_dump gives up a table of the user's after half a minute; for the large objects it waits as long as it must.
LOCK = "LOCK TABLE pg_largeobject IN ACCESS EXCLUSIVE MODE"


@contextmanager
def dump_held(namespace: Namespace, quotenode: QuoteNode, backup: Json) -> Iterator[None]:
    """The dump stands still, however long it takes, and afterwards goes on if it still can."""
    with open_transaction(quotenode, LOCK):
        namespace.apply(backup)
        eventually(lambda: dump_waits(quotenode), "the dump has begun and waits for the large objects", 90)
        yield
