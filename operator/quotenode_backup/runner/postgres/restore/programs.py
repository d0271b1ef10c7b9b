"""pg_restore and psql, as a load uses them.

pg_restore must know the format of the pg_dump that wrote the dump. If it then sends the server a setting that the server does not know, what it writes
goes through psql, without that setting. psql is told a random word (`\\restrict`), without which it obeys no command that a dump may contain.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.clients import Client, connection_string
from quotenode_backup.runner.process.display import Redactor
from quotenode_backup.runner.process.pipeline import Stage

_TIMEOUT_SINCE = 17
"""The major of pg_restore that sets `transaction_timeout`, and of the first server that knows it."""
UNKNOWN_SETTING = b"SET transaction_timeout = 0;\n"


class Section(Enum):
    PRE_DATA = "pre-data"
    DATA = "data"
    POST_DATA = "post-data"


def choose(dump_major: int, clients: Sequence[Client]) -> Client:
    """The oldest client that can read the dump."""
    for client in clients:
        if client.major >= dump_major:
            return client
    known = ", ".join(str(client.major) for client in clients) or "none"
    raise RunFailed(
        Reason.SERVER_TOO_NEW,
        f"The dump was written by pg_dump {dump_major}, newer than every client in this image ({known}): use a newer release of the operator.",
    )


@dataclass(frozen=True, slots=True)
class Programs:
    client: Client
    environment: Mapping[str, str] = field(repr=False)
    """libpq's variables for the role that loads, and where its password is."""
    redact: Redactor
    scratch: str
    server_version: int

    @property
    def is_direct(self) -> bool:
        """Whether pg_restore talks to the server itself."""
        return self.client.major < _TIMEOUT_SINCE or self.server_version // 10000 >= _TIMEOUT_SINCE

    def restore(
        self, sections: Sequence[Section], *options: str, archive: int | None = None, listed: int | None = None
    ) -> Stage:
        """`archive`, `listed`: descriptors of the dump's head, and of a list of what is wanted. Without `archive` pg_restore reads its stdin."""
        chosen = [f"--section={section.value}" for section in sections]
        wanted = [] if listed is None else [f"--use-list=/proc/self/fd/{listed}"]
        target = self._target if self.is_direct else ["--file=-"]
        source = [] if archive is None else [f"/proc/self/fd/{archive}"]
        command = [
            self.client.pg_restore,
            "--format=custom",
            "--no-password",
            *target,
            *chosen,
            *wanted,
            *options,
            *source,
        ]
        descriptors = [number for number in (archive, listed) if number is not None]
        return Stage("pg_restore", command, self.environment, descriptors)

    def data_as_text(self) -> Stage:
        command = [self.client.pg_restore, "--format=custom", "--section=data", "--file=-"]
        return Stage("pg_restore", command, self.environment)

    def psql(self) -> Stage:
        options = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"]
        return Stage("psql", [self.client.psql, *options, f"--dbname={self._connection}"], self.environment)

    @property
    def _target(self) -> list[str]:
        return ["--exit-on-error", f"--dbname={self._connection}"]

    @property
    def _connection(self) -> str:
        return connection_string(self.scratch, self.server_version)


@contextmanager
def in_memory(content: bytes) -> Iterator[int]:
    """A descriptor of a file without a name, which a child that inherits it can open as often as it likes."""
    descriptor = os.memfd_create("dump", os.MFD_CLOEXEC)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        with suppress(OSError):
            os.close(descriptor)


class SettingFilter:
    """Leaves out the one setting at the beginning of pg_restore's text, where nothing of the dump is yet."""

    _HEAD = 4096

    def __init__(self) -> None:
        self._head: bytes | None = b""

    def __call__(self, chunk: memoryview) -> bytes | memoryview:
        """What of the text so far can be passed on."""
        if self._head is None:
            return chunk
        self._head += chunk
        return self.end() if len(self._head) >= self._HEAD else b""

    def end(self) -> bytes:
        """What is left when there is no more."""
        head, self._head = self._head or b"", None
        return head.replace(UNKNOWN_SETTING, b"", 1)
