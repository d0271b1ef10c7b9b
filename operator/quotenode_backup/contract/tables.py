"""`tables.json.gz`, a member of the bundle: how many rows of each table are in the dump, and the hash of their text.

They are not in the manifest, which the commit record repeats and every run reads again: ten thousand tables would take more room than a manifest may
have. Hashes of small tables can also be guessed back into rows, so they belong into a member, which can be encrypted, as the dump can.
"""

import gzip
import io
import json
import zlib
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

MOST_TABLES = 100_000
LARGEST_LIST = 1000 * MOST_TABLES
"""The most bytes that the list may have when it is decompressed. Names of 63 bytes fit, however they are written."""
LARGEST_STORED_LIST = LARGEST_LIST // 4
"""Compressed. However little names compress, a hash takes only half of the room that it has as text."""
_LONGEST_NAME = 1024
"""PostgreSQL's names have at most 63 bytes, each of which is written as `\\xNN` if it cannot be decoded."""


class _Listed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class DumpedTable(_Listed):
    """A table whose rows are in the dump."""

    schema_name: Annotated[str, Field(max_length=_LONGEST_NAME)]
    name: Annotated[str, Field(max_length=_LONGEST_NAME)]
    rows: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the rows as COPY writes them, in the order in which they are in the dump."""


class _TableList(_Listed):
    tables: Annotated[tuple[DumpedTable, ...], Field(max_length=MOST_TABLES)]


def table_list(tables: Sequence[DumpedTable]) -> bytes:
    """The content of the member: JSON with a line for each table, compressed. The same tables always give the same bytes."""
    lines = ",\n".join(json.dumps(table.model_dump(by_alias=True)) for table in tables)
    return gzip.compress(f'{{"tables": [\n{lines}\n]}}\n'.encode(), compresslevel=6, mtime=0)


def parse_table_list(content: bytes) -> tuple[DumpedTable, ...] | None:
    """None when it is not such a list."""
    try:
        with gzip.open(io.BytesIO(content)) as file:
            text = file.read(LARGEST_LIST + 1)
        return _TableList.model_validate_json(text, strict=True).tables if len(text) <= LARGEST_LIST else None
    except (OSError, EOFError, zlib.error, ValidationError):
        return None
