"""The least that a backup takes, guessed in seconds: so that a claim that is far too small is named before the work, not after it."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

LOOK_SECONDS = 2.0
DATABASE_SHARE = 1000
"""A dump has no indexes, no dead rows and no rows of materialized views, and gzip makes what is left up to a thousand times smaller. No share
is certain, so this one is small enough to be wrong only of a database that holds next to nothing, on a claim with next to no room."""
FILES_SHARE = 2
"""What is called a PDF or a picture may hold plain text."""
_IMAGES = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".heic"}
_DOCUMENTS = {".pdf", ".docx", ".xlsx", ".pptx", ".odt", ".ods"}
_ARCHIVES = {".zip", ".gz", ".xz", ".zst", ".7z"}
_COMPRESSED = _IMAGES | _DOCUMENTS | _ARCHIVES | {".mp3", ".mp4", ".mov", ".webm"}


def least_size(last: int, database_bytes: int, folders: Iterable[Path]) -> int:
    """Half of what the `last` bundle of its kind takes, which knows better than any guess. Where there is none, 0 is given for it.

    The guess counts files that are compressed already, and of those only what can be seen in a short while.
    """
    if last:
        return last // 2
    end = time.monotonic() + LOOK_SECONDS
    compressed = sum(size for folder in folders for size in _sizes(folder, end))
    return database_bytes // DATABASE_SHARE + compressed // FILES_SHARE


def _sizes(folder: Path, end: float) -> Iterator[int]:
    for above, _, names in os.walk(folder):
        for name in names:
            if Path(name).suffix.lower() in _COMPRESSED:
                yield _size(Path(above, name))
            if time.monotonic() > end:
                return


def _size(path: Path) -> int:
    try:
        seen = path.lstat()
        return min(seen.st_size, seen.st_blocks * 512) // seen.st_nlink
    except OSError:
        return 0  # it went, or the walk proper will say what is wrong with it
