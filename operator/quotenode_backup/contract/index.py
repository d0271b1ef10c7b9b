"""`files.index.zst`: where each entry of `files.tar.gz` is, so that one file comes out without the rest being read.

The index is text, compressed with zstd: one JSON object a line, in the order of the archive. The archive consists of many gzip members. An entry of
the tar is never divided between two of them, so `offset` and `length` say which bytes of `files.tar.gz` to decompress, and `at` says where in the
result the entry's tar headers begin.

An archive of one format has one index only, byte for byte: whoever reads a bundle makes the index again from the archive, and compares the two. So a
line has no other fields than these, in this order, and one more field would be another format.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from quotenode_backup.domain.index import EntryType

Count = Annotated[int, Field(ge=0, le=1 << 60)]


class IndexEntry(BaseModel):
    """One line of the index."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    path: str
    """As `domain.index.quoted` writes it, without a slash at its end."""
    type: EntryType
    size: Count
    """Bytes of content. 0 unless this is a file."""
    mtime_ns: Annotated[str, Field(pattern=r"^-?[0-9]{1,30}$")]
    """Nanoseconds since 1970. It is a string, because many JSON parsers cannot represent such a large number."""
    mode: Annotated[str, Field(pattern=r"^[0-7]{4}$")]
    """In octal digits, as in the archive."""
    uid: Count
    gid: Count
    target: str | None = None
    """What a link leads to, or the path of the file that a hard link is another name of, written like `path`."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the content of a file. Absent unless this is a file."""
    offset: Count
    length: Count
    at: Count

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Raises ValueError if the line is not one of an index."""
        return cls.model_validate_json(line)
