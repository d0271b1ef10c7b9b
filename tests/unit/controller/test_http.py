"""Probes and metrics answer on every address of the pod, whichever family the cluster has."""

import socket
import urllib.request
from collections.abc import Iterator

import pytest

from quotenode_backup.controller.health import Health
from quotenode_backup.controller.http import serve
from quotenode_backup.controller.metrics import Metrics


@pytest.fixture
def port() -> Iterator[int]:
    server = serve(0, Health(resync_seconds=300), Metrics())
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"])
def test_the_server_is_reached_by(address: str, port: int) -> None:
    with urllib.request.urlopen(f"http://{address}:{port}/livez", timeout=5) as answer:
        assert answer.read() == b"ok\n"
