"""Ports for the servers that tests start."""

import itertools
import os
import socket

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_RANGE = range(20_000 + 1_000 * _WORKER, 21_000 + 1_000 * _WORKER)
"""Below those that the kernel gives to whoever asks for any."""
_ports = itertools.cycle(_RANGE)


def free_port() -> int:
    """One that is given to nobody else: whoever asked binds it seconds later."""
    return next(port for port in _ports if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
