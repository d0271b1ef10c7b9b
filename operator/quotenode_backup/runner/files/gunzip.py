"""What a gzip file of any number of members decompresses to, in pieces of bounded size, however well it was compressed."""

import zlib
from collections.abc import Iterable, Iterator

_GZIP = 31  # zlib's `wbits` of data with a gzip header and trailer
_PIECE = 1 << 20


def gunzipped(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Raises zlib.error where the data is damaged, and EOFError where it ends too early. zlib checks the sum of each member."""
    member = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        rest: bytes | memoryview = chunk
        while rest:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            yield member.decompress(rest, _PIECE)
            rest = member.unused_data or member.unconsumed_tail
    while not member.eof:
        piece = member.decompress(member.unconsumed_tail, _PIECE)
        if not piece:
            raise EOFError("it ends too early")
        yield piece
