"""What answers in the place of PostgreSQL and wants the password."""

import contextlib
import socket
import struct
from dataclasses import dataclass

_SSL_REQUEST = 80877103


@dataclass
class Impostor:
    """Asks for the password in clear text, then refuses with `words`, or, if `lets_in`, takes everybody and refuses each statement with them."""

    words: str
    lets_in: bool = False
    heard: bytes = b""
    """All that it was sent."""

    def serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error), connection:
            self._begin(connection)
            connection.sendall(_message(b"R", struct.pack("!I", 0 if self.lets_in else 3)))
            if self.lets_in:
                connection.sendall(_message(b"S", b"server_version\017.0\0"))
                connection.sendall(_message(b"K", struct.pack("!II", 1, 2)) + _message(b"Z", b"I"))
            while data := connection.recv(4096):
                self.heard += data
                connection.sendall(_error("28P01" if not self.lets_in else "XX001", self.words))
                if not self.lets_in:
                    return
                connection.sendall(_message(b"Z", b"I"))

    def _begin(self, connection: socket.socket) -> None:
        while True:
            length, code = struct.unpack("!II", connection.recv(8, socket.MSG_WAITALL))
            self.heard += connection.recv(length - 8, socket.MSG_WAITALL) if length > 8 else b""
            if code != _SSL_REQUEST:
                return
            connection.sendall(b"N")


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _error(code: str, words: str) -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": words}
    return _message(b"E", b"".join(f"{key}{text}\0".encode() for key, text in fields.items()) + b"\0")
