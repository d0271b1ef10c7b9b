"""The direct call reaches the libpq, and the connection, that psycopg uses."""

import ctypes

from psycopg import pq
from psycopg.pq.abc import PGconn

from quotenode_backup.runner.postgres.libpq import be_verbose

DEFAULT, VERBOSE = 1, 2


def verbosity_of(connection: PGconn) -> int:
    """libpq tells it only to those who set another."""
    call = ctypes.CDLL("libpq.so.5").PQsetErrorVerbosity
    call.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return int(call(getattr(connection, "pgconn_ptr"), DEFAULT))  # noqa: B009 - the type of both implementations lacks it


def test_a_connection_becomes_verbose() -> None:
    connection = pq.PGconn.connect_start(b"host=/nowhere")
    try:
        assert verbosity_of(connection) == DEFAULT
        be_verbose(connection)
        assert verbosity_of(connection) == VERBOSE
    finally:
        connection.finish()


def test_psycopg_is_the_plain_python_one() -> None:
    """The other one has no pointer to call libpq with."""
    assert pq.__impl__ == "python"
