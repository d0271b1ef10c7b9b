"""Other people's sessions in the database, which hold a run up or must not show in it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.standin.quotenode import DATABASE_POD, QuoteNode
from tests.e2e.waiting import eventually

MARK = "somebody-else"


@contextmanager
def open_transaction(quotenode: QuoteNode, statement: str) -> Iterator[None]:
    """A transaction that has done the statement, keeps its locks, and is never committed."""
    script = f"SET application_name = '{MARK}'; BEGIN; {statement}; SELECT pg_sleep(600)"
    psql = ("psql", "--no-psqlrc", "--username=postgres", "--dbname=quotenode", f"--command={script}")
    # Not in the background of the pod: an orphan there is PostgreSQL's child, and its exit code a crash of a backend.
    command = ["kubectl", f"--namespace={quotenode.namespace}", "exec", DATABASE_POD, "--", *psql]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        try:
            eventually(lambda: _sessions(quotenode, MARK, "wait_event = 'PgSleep'") == 1, f"{statement} is done", 20)
            yield
        finally:
            quotenode.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{MARK}'")


def dump_waits(quotenode: QuoteNode) -> bool:
    """Whether a dump has begun and stands before a table that somebody has locked."""
    return _sessions(quotenode, "pg_dump", "wait_event_type = 'Lock'") == 1


def _sessions(quotenode: QuoteNode, application: str, condition: str) -> int:
    asked = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}' AND {condition}"
    return int(quotenode.psql(asked))
