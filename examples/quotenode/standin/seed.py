"""Fills an empty QuoteNode, once, in one transaction. Files are written before the commit that names them."""

import logging
import os
import time
from pathlib import Path

from standin import media
from standin.database import Connection, connect_when_up

OFFERS = {"tiny": 20, "demo": 60_000}
"""Named sizes; a number of offers works as well. There are four lines to an offer."""
MOST_FILES = 250
ALREADY_THERE = "SELECT to_regclass('public.offers') IS NOT NULL"
LOCK = "SELECT pg_advisory_xact_lock(hashtext('quotenode seed'))"

log = logging.getLogger(__name__)


def seed(root: Path) -> None:
    with connect_when_up() as conn:
        conn.execute(LOCK)
        if conn.execute(ALREADY_THERE).fetchone() == (True,):
            log.info("Data is already there")
            return
        started = time.monotonic()
        _fill(conn, root, offers=_offers(os.environ.get("SCALE", "demo")))
        conn.commit()
        _analyze(conn)
        log.info("Seeded in %.1f s", time.monotonic() - started)


def _offers(scale: str) -> int:
    return OFFERS[scale] if scale in OFFERS else int(scale)


def _fill(conn: Connection, root: Path, *, offers: int) -> None:
    size = 1024 * int(os.environ.get("FILE_KIB", "24"))
    conn.execute("SELECT set_config('standin.offers', %s, true)", (str(offers),))
    for script in ("schema.sql", "seed.sql", "constraints.sql"):
        conn.execute(Path(__file__).with_name(script).read_bytes())
    _images(conn, root, count=min(MOST_FILES, max(5, offers // 30)), size=size)
    _documents(conn, root, count=min(MOST_FILES, offers), size=size)
    os.sync()  # every file is on disk before the commit that names it


def _images(conn: Connection, root: Path, *, count: int, size: int) -> None:
    media.store(root, "uploads/logos/company.png", media.png("logo", size // 4), sync=False)
    with conn.cursor() as cursor:
        cursor.executemany(
            "UPDATE products SET image_path = %s WHERE id = %s",
            [(_image(root, number, size).path, number) for number in range(1, count + 1)],
        )


def _image(root: Path, number: int, size: int) -> media.Stored:
    path = f"uploads/products/{number % 10}/SKU-{number:06d}.png"
    return media.store(root, path, media.png(path, size + number % 7 * 512), sync=False)


def _documents(conn: Connection, root: Path, *, count: int, size: int) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO documents (offer_id, path, sha256, size_bytes) VALUES (%s, %s, %s, %s)",
            [(number, *_document(root, number, size)) for number in range(1, count + 1)],
        )


def _document(root: Path, number: int, size: int) -> media.Stored:
    path = f"pdfs/{2024 + number % 3}/{1 + number % 12:02d}/Q-{10000 + number}.pdf"
    content = media.pdf(f"Offer Q-{10000 + number}", size + number % 5 * 512)
    return media.store(root, path, content, sync=False)


def _analyze(conn: Connection) -> None:
    conn.autocommit = True
    conn.execute("ANALYZE")
