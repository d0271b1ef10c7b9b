"""The files: valid little PNGs and PDFs made from a seed, and how one is put on the volume.

A file is immutable and complete from the moment it has its name: it is written and synced beside the trees
that rows point into, then renamed. Only after that may a row name it: a row that is seen names a file that is
there.
"""

import os
import random
import struct
import zlib
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

INCOMING = ".incoming"
"""Unfinished files; no part of what is backed up."""


class Stored(NamedTuple):
    path: str
    sha256: str
    size: int


def store(root: Path, path: str, content: bytes, *, sync: bool = True) -> Stored:
    """`sync=False` is for seeding, which makes a few hundred files before anybody counts on one of them."""
    target = root / path
    unfinished = root / INCOMING / target.name
    for folder in (target.parent, unfinished.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with unfinished.open("wb") as sink:
        sink.write(content)
        sink.flush()
        if sync:
            os.fsync(sink.fileno())
    unfinished.rename(target)
    if sync:
        _sync_folder(target.parent)
    return Stored(path, sha256(content).hexdigest(), len(content))


def png(seed: str, size: int) -> bytes:
    """An image of noise, as photographs are: about `size` bytes that no compressor makes smaller."""
    side = max(1, int((size / 3) ** 0.5))
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(side * 3) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, body) for kind, body in chunks)


def pdf(title: str, size: int) -> bytes:
    """One page that shows `title`, and an attached stream that brings it to about `size` bytes."""
    text = f"BT /F1 24 Tf 72 720 Td ({_pdf_text(title)}) Tj ET".encode("ascii")
    noise = random.Random(title).randbytes(max(0, size - 700))
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        _pdf_stream(text),
        _pdf_stream(noise),
    )
    return _pdf_file(objects)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _pdf_text(title: str) -> str:
    plain = title.encode("ascii", "replace").decode("ascii")
    return plain.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _pdf_stream(content: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)


def _pdf_file(objects: tuple[bytes, ...]) -> bytes:
    body = b"%PDF-1.4\n"
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    return body + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (count, table, count, len(body))
    )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
