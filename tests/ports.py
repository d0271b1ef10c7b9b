"""Ports for the servers that tests start."""

import itertools
import os
import socket

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
# Below those that the kernel gives to whoever asks for any, and those of Services.
_FIRST, _COUNT = 20_000 + 1_000 * _WORKER, 1_000
_ports = (_FIRST + (os.getpid() + number) % _COUNT for number in itertools.count())


def free_port() -> int:
    """One that no other worker of this run gets: whoever asked binds it seconds later."""
    return next(port for port in _ports if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
