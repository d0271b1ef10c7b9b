"""The folder of a restore inside each folder that it restores, and what is in it."""

FOLDER_PREFIX = ".quotenode-restore-"
STAGED = "new"
"""What the archive holds. The swap moves all of it out, into the live folder."""
REPLACED = "old"
"""What the live folder held before the swap."""
LATE = "late"
"""What somebody else wrote into the live folder during a swap, under a name that the swap needed. One folder for each such entry, numbered from 1."""
STATE = "state.json"

_LOST_AND_FOUND = "lost+found"
_UID_LENGTH = 63


def folder_name(restore_uid: str) -> str:
    return f"{FOLDER_PREFIX}{restore_uid}"


def restore_uid_of(name: str) -> str | None:
    """The restore whose folder has this name. None if it is not the name of such a folder."""
    uid = name.removeprefix(FOLDER_PREFIX)
    is_uid = 0 < len(uid) <= _UID_LENGTH and uid.isascii() and uid.replace("-", "").isalnum()
    return uid if uid != name and is_uid else None


def stays(name: str) -> bool:
    """Whether an entry of a live folder is never moved: it belongs to a restore or to the file system, and not to the application.

    What only begins like the name of a restore's folder stays too, as it is not in backups.
    """
    return name == _LOST_AND_FOUND or name.startswith(FOLDER_PREFIX)
