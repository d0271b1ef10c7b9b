"""Estimates within seconds the least size of a backup, so that a claim that is far too small is reported before the work and not after it."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from quotenode_backup.domain import bundle as shape

SCAN_SECONDS = 2.0
DATABASE_SHARE = 1000
"""A dump has no indexes, no dead rows and no rows of materialized views, and gzip makes the rest up to a thousand times smaller. No share is
certain. This one is so small that it is wrong only about a database that is almost empty, on a claim with almost no room."""
FILES_SHARE = 2
"""A file with the name of a PDF or of an image may contain plain text."""
_IMAGES = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".heic"}
_DOCUMENTS = {".pdf", ".docx", ".xlsx", ".pptx", ".odt", ".ods"}
_ARCHIVES = {".zip", ".gz", ".xz", ".zst", ".7z"}
_COMPRESSED = _IMAGES | _DOCUMENTS | _ARCHIVES | {".mp3", ".mp4", ".mov", ".webm"}


def least_size(last: int, database_bytes: int, folders: Iterable[Path]) -> int:
    """Half of the size of the `last` bundle of the same kind, which is better than any estimate. If it is 0, there is none.

    Only files that are compressed already are estimated, and only those that can be found in a short time.
    """
    if last:
        return last // 2
    end = time.monotonic() + SCAN_SECONDS
    compressed = sum(size for folder in folders for size in _sizes(folder, end))
    return database_bytes // DATABASE_SHARE + compressed // FILES_SHARE


def _sizes(folder: Path, end: float) -> Iterator[int]:
    for above, below, names in os.walk(folder):
        if Path(above) == folder:
            below[:] = [name for name in below if not name.startswith(shape.RESTORE_PREFIX)]
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
        return 0  # it was removed, or the archive will report what is wrong with it
