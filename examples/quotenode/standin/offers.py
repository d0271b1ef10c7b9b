"""Making and reading offers. A PDF has its final name, synced, before the row that names it is committed."""

import uuid
from pathlib import Path
from typing import Any

from standin import media
from standin.database import Connection

NEW_OFFER = """
    INSERT INTO offers (customer_id, status, note)
    SELECT id, 'sent', %(note)s FROM customers ORDER BY id LIMIT 1
    RETURNING id, number"""
NEW_LINES = """
    INSERT INTO offer_lines (offer_id, position, offered_on, product_id, quantity, price)
    SELECT %(offer)s, row_number() OVER (), current_date, id, 1, price FROM products ORDER BY id LIMIT 3"""
NEW_DOCUMENT = "INSERT INTO documents (offer_id, path, sha256, size_bytes) VALUES (%s, %s, %s, %s)"
DOCUMENT = "SELECT path FROM documents WHERE offer_id = %s ORDER BY id LIMIT 1"
OFFER = """
    SELECT o.id, o.number, c.name, o.status, o.total, o.note
    FROM offers o JOIN customers c ON c.id = o.customer_id WHERE o.id = %s"""


def create(conn: Connection, root: Path, *, note: str, size: int) -> dict[str, Any]:
    with conn.transaction():
        offer, number = _one(conn, NEW_OFFER, {"note": note})
        conn.execute(NEW_LINES, {"offer": offer})
        content = media.pdf(f"Offer {number}", size)
        stored = media.store(root, f"pdfs/new/{number}-{uuid.uuid4().hex}.pdf", content)
        conn.execute(NEW_DOCUMENT, (offer, *stored))
    return {"id": offer, "number": number, "pdf": stored.path}


def read(conn: Connection, offer: int) -> dict[str, Any] | None:
    row = conn.execute(OFFER, (offer,)).fetchone()
    if row is None:
        return None
    return dict(zip(("id", "number", "customer", "status", "total", "note"), row, strict=True))


def document(conn: Connection, root: Path, offer: int) -> bytes | None:
    row = conn.execute(DOCUMENT, (offer,)).fetchone()
    return None if row is None else (root / row[0]).read_bytes()


def _one(conn: Connection, query: str, values: dict[str, Any]) -> tuple[Any, ...]:
    row = conn.execute(query, values).fetchone()
    if row is None:
        raise LookupError("there are no customers: the database is not seeded")
    return row
