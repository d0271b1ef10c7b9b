"""Serves probes and metrics from a thread of their own, so that a stuck event loop can be reported.

kopf's own liveness endpoint answers 200 even when nothing is watched.
"""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from quotenode_backup.controller.health import Health
from quotenode_backup.controller.metrics import Metrics

Answer = tuple[int, str, bytes]
TEXT = "text/plain; charset=utf-8"


def serve(port: int, health: Health, metrics: Metrics) -> ThreadingHTTPServer:
    """Start the server. The caller shuts it down."""

    class Handler(_Handler):
        routes: ClassVar[dict[str, Callable[[], Answer]]] = {
            "/livez": lambda: _probe(health.is_live, "the event loop is stuck"),
            "/readyz": lambda: _probe(health.is_ready, "the resources have not been listed lately"),
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry)),
        }

    server = _Server(("", port), Handler)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server


def _probe(holds: bool, otherwise: str) -> Answer:
    return (200, TEXT, b"ok\n") if holds else (503, TEXT, f"{otherwise}\n".encode())


class _Server(ThreadingHTTPServer):
    """Serves both IPv4 and IPv6, since a cluster may have only one of them."""

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    routes: ClassVar[dict[str, Callable[[], Answer]]] = {}
    timeout = 10

    def do_GET(self) -> None:
        route = self.routes.get(self.path.partition("?")[0])
        status, kind, body = route() if route else (404, TEXT, b"not found\n")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
        """Requests are not logged: probes come every few seconds."""
