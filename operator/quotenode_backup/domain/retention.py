"""Which bundles stay."""

import base64
import hashlib

MARK_LENGTH = 6
"""Characters. 365 of them fit into a result, and two runs share one once in 10^8 comparisons."""


def mark(run_uid: str) -> str:
    """A run in a list of survivors."""
    return base64.urlsafe_b64encode(hashlib.sha256(run_uid.encode()).digest())[:MARK_LENGTH].decode()


def is_among(run_uid: str, survivors: str) -> bool:
    """`survivors`: marks, joined."""
    marks = {survivors[start : start + MARK_LENGTH] for start in range(0, len(survivors), MARK_LENGTH)}
    return mark(run_uid) in marks
