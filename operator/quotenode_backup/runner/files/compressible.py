"""Whether it is worth while to compress something.

Most of what people upload is compressed already. To compress that again takes time, and saves nothing.
"""

from isal import isal_zlib

from quotenode_backup.runner.process.gzip_blocks import Pieces, stored_blocks

_LEVEL = 1
_SAMPLE = 1 << 14
_SAMPLE_EVERY = 1 << 18
_LEAST_SAVING = 1 / 20
_LEAST_SAVING_OF_COMPRESSED = 1 / 4
_BEGINNINGS = (
    b"PK\x03\x04",  # zip, and with it docx, xlsx, odt, jar
    b"\x89PNG\r\n",
    b"\xff\xd8\xff",  # jpeg
    b"GIF8",
    b"\x1f\x8b",  # gzip
    b"\x28\xb5\x2f\xfd",  # zstd
    b"7z\xbc\xaf\x27\x1c",
    b"\xfd7zXZ\0",
    b"BZh",
    b"\x04\x22\x4d\x18",  # lz4
    b"Rar!",
    b"\x1a\x45\xdf\xa3",  # webm and matroska
    b"OggS",
    b"ID3",  # mp3
    b"\xff\xfb",  # mp3
)
_WITHIN = ((4, b"ftyp"), (8, b"WEBP"))  # mp4, mov, heic and avif, and webp
ENOUGH = 12
"""How many bytes `has_compressed_format` needs."""


def has_compressed_format(beginning: bytes) -> bool:
    """Whether a file that begins so has a format that is compressed. PDF is not among them, since a PDF may be anything."""
    return beginning.startswith(_BEGINNINGS) or any(beginning[at:].startswith(mark) for at, mark in _WITHIN)


def blocks(piece: memoryview, *, has_compressed_format: bool = False) -> Pieces:
    """`piece` as deflate blocks, none of them the last one of a member, that refer to nothing before them: compressed, or stored if that saves little.

    Of a format that is compressed, fewer samples are tried. They are tried all the same, since a zip or a film may hold a large part that is not
    compressed, or was never written.
    """
    if _promises_saving(piece, has_compressed_format):
        compressed = _compressed(piece)
        if _saving(len(piece), len(compressed)) > _LEAST_SAVING:
            return [compressed]
    return stored_blocks(piece)


def _promises_saving(piece: memoryview, has_compressed_format: bool) -> bool:
    starts = (0,) if has_compressed_format else range(0, len(piece), _SAMPLE_EVERY)
    samples = [piece[start : start + _SAMPLE] for start in starts]
    saving = _saving(sum(map(len, samples)), sum(len(isal_zlib.compress(sample, _LEVEL)) for sample in samples))
    return saving > (_LEAST_SAVING_OF_COMPRESSED if has_compressed_format else _LEAST_SAVING)


def _saving(before: int, after: int) -> float:
    return 1 - after / before if before else 0


def _compressed(piece: memoryview) -> bytes:
    deflater = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -15)
    return deflater.compress(piece) + deflater.flush(isal_zlib.Z_FULL_FLUSH)
