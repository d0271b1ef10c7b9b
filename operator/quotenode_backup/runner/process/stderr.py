"""What programs say on stderr: kept within bounds, without the run's secrets, and never thrown away unread."""

import os
import threading
from collections import deque
from typing import IO

from quotenode_backup.runner.process.display import Redactor, sentence

_LINES = 20
_LINE_BYTES = 2_000
_WARNING = ": warning: "
"""How PostgreSQL's programs mark one, in any language: their own words are English in our environment."""
_NOTE_CHARACTERS = 400


class Stderr:
    """The first and the last lines of a program, read by a thread until it closes its end."""

    def __init__(self, pipe: IO[bytes], name: str, redact: Redactor) -> None:
        self._pipe, self._redact = pipe, redact
        self._first: list[bytes] = []
        self._last: deque[bytes] = deque(maxlen=_LINES)
        self.warnings = 0
        """How many lines were warnings, whether they were kept or not."""
        self._thread = threading.Thread(target=self._listen, name=f"stderr of {name}", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
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
        """Once the program has ended."""
        self._thread.join(timeout=5)
        kept = b"".join([*self._first, *self._last])
        return self._redact(kept.decode(errors="replace"))


def warnings_of(said: str) -> list[str]:
    """Each warning as one line, with the details and hints that follow it."""
    found: list[list[str]] = []
    for line in filter(None, map(str.strip, said.splitlines())):
        if _WARNING in line:
            found.append([line.partition(_WARNING)[2]])
        elif found and ": error: " not in line:
            found[-1].append(line.partition(": ")[2] or line)
    return [sentence(" ".join(lines), _NOTE_CHARACTERS) for lines in found]
