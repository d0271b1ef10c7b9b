"""The direct call reaches the libpq, and the connection, that psycopg uses."""

from psycopg import pq

from quotenode_backup.runner.postgres.libpq import DEFAULT, VERBOSE, set_verbosity


def test_the_verbosity_of_a_connection_is_set() -> None:
    connection = pq.PGconn.connect_start(b"host=/nowhere")
    try:
        assert set_verbosity(connection, VERBOSE) == DEFAULT
        assert set_verbosity(connection, DEFAULT) == VERBOSE
    finally:
        connection.finish()


def test_psycopg_is_the_plain_python_one() -> None:
    """The other one has no pointer to call libpq with."""
    assert pq.__impl__ == "python"
