"""The one call into libpq that psycopg does not offer.

A refused connection has its SQLSTATE in the error message only if the connection was asked to be verbose before it was made. psycopg has no function
for that, so libpq is called directly, with the connection's pointer. That works for psycopg's plain Python implementation alone, the one that is
installed: it loads the system's libpq by this name too, and only there does a connection have a `pgconn_ptr`.
"""

import ctypes

from psycopg.pq.abc import PGconn

_VERBOSE = 2
"""PQERRORS_VERBOSE."""


def be_verbose(connection: PGconn) -> None:
    call = ctypes.CDLL("libpq.so.5").PQsetErrorVerbosity
    call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_int], ctypes.c_int
    call(getattr(connection, "pgconn_ptr"), _VERBOSE)  # noqa: B009 - the type of both implementations lacks it
