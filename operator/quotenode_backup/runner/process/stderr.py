"""What programs write to stderr: a bounded part of it is kept, without the run's secrets, and all of it is read."""

import os
import threading
from collections import deque
from typing import IO

from quotenode_backup.runner.process.display import Redactor, sentence

_LINES = 20
_LINE_BYTES = 2_000
_WARNING = ": warning: "
"""How PostgreSQL's programs begin a warning: their own messages are English in the environment that they get."""
_NOTE_CHARACTERS = 400


class Stderr:
    """The first and the last lines of a program, read by a thread until the program closes its end."""

    def __init__(self, pipe: IO[bytes], name: str, redact: Redactor) -> None:
        self._pipe, self._redact = pipe, redact
        self._first: list[bytes] = []
        self._last: deque[bytes] = deque(maxlen=_LINES)
        self.warnings = 0
        """How many lines were warnings, whether or not they were kept."""
        self._thread = threading.Thread(target=self._read, name=f"stderr of {name}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe, os.fdopen(self._pipe.fileno(), "rb", closefd=False) as lines:
            while line := lines.readline(_LINE_BYTES):
                self._keep(line)

    def _keep(self, line: bytes) -> None:
        self.warnings += _WARNING.encode() in line
        if len(self._first) < _LINES:
            self._first.append(line)
        else:
            self._last.append(line)

    def text(self) -> str:
        """Waits for the program to end."""
        self._thread.join(timeout=5)
        kept = b"".join([*self._first, *self._last])
        return self._redact(kept.decode(errors="replace"))


def warnings_in(stderr: str) -> list[str]:
    """Each warning on one line, with the details and hints that follow it."""
    found: list[list[str]] = []
    for line in filter(None, map(str.strip, stderr.splitlines())):
        if _WARNING in line:
            found.append([line.partition(_WARNING)[2]])
        elif found and ": error: " not in line:
            found[-1].append(line.partition(": ")[2] or line)
    return [sentence(" ".join(lines), _NOTE_CHARACTERS) for lines in found]
