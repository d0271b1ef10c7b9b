"""The words of `files.index.zst`, and how it writes the name of a file."""

import re
from enum import StrEnum
from urllib.parse import unquote_to_bytes

_NOT_UTF_8 = re.compile("[\udc80-\udcff]")


class EntryType(StrEnum):
    FILE = "File"
    FOLDER = "Folder"
    LINK = "Link"
    """A symbolic link."""
    HARD_LINK = "HardLink"
    """Another name of a file that comes earlier in the archive."""


def quoted(path: str) -> str:
    """The name of a file, which may be any bytes, as text. A percent sign and each byte that is not UTF-8 become `%` and two digits.

    `path`: as `os.fsdecode` gives it.
    """
    return _NOT_UTF_8.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", path.replace("%", "%25"))


def unquoted(path: str) -> bytes:
    """The name as the bytes that it is."""
    return unquote_to_bytes(path)
