"""The backend: a few paths over HTTP, enough to see QuoteNode alive and its data change."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import psycopg

from standin import offers
from standin.database import connect
from standin.writer import Writer

LONGEST_BODY = 64 * 1024
DOCUMENT_BYTES = 8 * 1024

log = logging.getLogger(__name__)


def serve(root: Path) -> None:
    writer = Writer(root, per_second=float(os.environ.get("WRITES_PER_SECOND", "0")), size=DOCUMENT_BYTES)
    writer.start()
    port = int(os.environ.get("HTTP_PORT", "8080"))
    server = ThreadingHTTPServer(("", port), _handler(Backend(root, writer)))
    log.info("Serving on port %d", port)
    server.serve_forever()


Answer = tuple[HTTPStatus, dict[str, Any] | bytes]


class Backend:
    def __init__(self, root: Path, writer: Writer) -> None:
        self._root, self._writer = root, writer
        self.routes: dict[tuple[str, str], Callable[..., Answer]] = {
            ("GET", r"/healthz"): self.health,
            ("POST", r"/offers"): self.create_offer,
            ("GET", r"/offers/(\d{1,18})"): self.offer,
            ("GET", r"/offers/(\d{1,18})/pdf"): self.document,
            ("GET", r"/writer"): self.writer,
            ("PUT", r"/writer"): self.set_writer,
        }

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        for (wanted, pattern), route in self.routes.items():
            if wanted == method and (match := re.fullmatch(pattern, path)):
                return route(body, *match.groups())
        return HTTPStatus.NOT_FOUND, {"error": "no such path"}

    def health(self, _body: dict[str, Any]) -> Answer:
        with connect(connect_timeout=3) as conn:
            conn.execute("SELECT FROM offers LIMIT 1")
        if not os.access(self._root / "pdfs", os.W_OK):
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the file volume cannot be written"}
        return HTTPStatus.OK, {"status": "ok"}

    def create_offer(self, body: dict[str, Any]) -> Answer:
        with connect() as conn:
            made = offers.create(conn, self._root, note=str(body.get("note", "")), size=DOCUMENT_BYTES)
        return HTTPStatus.CREATED, made

    def offer(self, _body: dict[str, Any], number: str) -> Answer:
        with connect() as conn:
            found = offers.read(conn, int(number))
        return (HTTPStatus.OK, found) if found else (HTTPStatus.NOT_FOUND, {"error": "no such offer"})

    def document(self, _body: dict[str, Any], number: str) -> Answer:
        with connect() as conn:
            found = offers.document(conn, self._root, int(number))
        return (HTTPStatus.OK, found) if found else (HTTPStatus.NOT_FOUND, {"error": "no such document"})

    def writer(self, _body: dict[str, Any]) -> Answer:
        return HTTPStatus.OK, {"writesPerSecond": self._writer.per_second, "written": self._writer.written}

    def set_writer(self, body: dict[str, Any]) -> Answer:
        rate = float(body["writesPerSecond"])
        if not 0 <= rate <= 1000:
            raise ValueError("writesPerSecond is 0 to 1000")
        self._writer.set_rate(rate)
        return self.writer(body)


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    left = LONGEST_BODY
    while size := int(stream.readline(16), base=16):
        left -= size
        if left < 0:
            raise ValueError("the body is too long")
        yield stream.read(size)
        stream.readline(16)


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, default=str, ensure_ascii=False).encode() + b"\n"


def _handler(backend: Backend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            try:
                status, content = backend.answer(self.command, self.path, self._body())
            except (ValueError, KeyError, TypeError) as exc:
                status, content = HTTPStatus.BAD_REQUEST, {"error": str(exc)}
            except (psycopg.Error, OSError) as exc:
                status, content = HTTPStatus.SERVICE_UNAVAILABLE, {"error": type(exc).__name__}
            self._send(status, content)

        do_GET = do_POST = do_PUT = _respond

        def _body(self) -> dict[str, Any]:
            if self.headers.get("Transfer-Encoding") == "chunked":  # as kubectl sends through the API server
                return dict(json.loads(b"".join(_chunks(self.rfile)) or b"{}"))
            length = int(self.headers.get("Content-Length", "0"))
            if length > LONGEST_BODY:
                raise ValueError("the body is too long")
            return dict(json.loads(self.rfile.read(length) or b"{}"))

        def _send(self, status: HTTPStatus, content: dict[str, Any] | bytes) -> None:
            kind = "application/pdf" if isinstance(content, bytes) else "application/json; charset=utf-8"
            body = content if isinstance(content, bytes) else _json(content)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            log.debug("%s %s %s %s", self.command, self.path, code, size)

    return Handler
