"""The names of the databases that a restore makes. They follow from its UID, so that a retry finds what an earlier attempt left."""

import re

from quotenode_backup.domain.naming import digest

LONGEST_NAME = 63
"""Bytes. PostgreSQL cuts longer names."""
_DIGITS = 10
_SCRATCH = re.compile(r"qnr_[0-9a-f]{10}")
_KEPT = re.compile(r"_before_[0-9a-f]{10}\Z")


def restore_digest(restore_uid: str) -> str:
    return digest(restore_uid, length=_DIGITS)


def scratch_name(restore_uid: str) -> str:
    """The database that a restore loads beside the live one."""
    return f"qnr_{restore_digest(restore_uid)}"


def kept_name(database: str, restore_uid: str) -> str:
    """What the live database is called once it has been replaced. A long name is cut between two characters."""
    suffix = f"_before_{restore_digest(restore_uid)}"
    kept = database.encode()[: LONGEST_NAME - len(suffix)].decode(errors="ignore")
    return kept + suffix


def is_scratch_name(name: str) -> bool:
    return _SCRATCH.fullmatch(name) is not None


def is_kept_name(name: str) -> bool:
    return _KEPT.search(name) is not None
