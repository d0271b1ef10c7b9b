"""The least that a backup can take, found in seconds: so that a claim that is far too small is named before the work, not after it."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

LOOK_SECONDS = 2.0
DATABASE_SHARE = 50
"""A dump has no indexes and no dead rows, and compresses well: a fiftieth is less than any real one takes."""
SMALLEST = 1 << 20
_IMAGES = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".heic"}
_DOCUMENTS = {".pdf", ".docx", ".xlsx", ".pptx", ".odt", ".ods"}
_ARCHIVES = {".zip", ".gz", ".xz", ".zst", ".7z"}
_COMPRESSED = _IMAGES | _DOCUMENTS | _ARCHIVES | {".mp3", ".mp4", ".mov", ".webm"}


def least_size(database_bytes: int, folders: Iterable[Path]) -> int:
    """Counts what is compressed already, and of that only what can be seen in a short while."""
    end = time.monotonic() + LOOK_SECONDS
    return SMALLEST + database_bytes // DATABASE_SHARE + sum(_incompressible(path, end) for path in folders)


def _incompressible(folder: Path, end: float) -> int:
    """Nine tenths of it: a PDF may hold plain text."""
    return sum(_sizes(folder, end)) * 9 // 10


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
