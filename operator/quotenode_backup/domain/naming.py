"""Names that are functions of what they name: the same thing always gets the same name, so a retry finds it."""

import hashlib
from datetime import UTC, datetime

from quotenode_backup.domain.bundle import SUFFIX


def digest(*parts: object, length: int = 20) -> str:
    """The first `length` hex digits of the sha256 over the NUL-joined parts."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def job_name(step: str, owner_uid: str, attempt: int) -> str:
    """The Job of one step, such as `backup`. `attempt` counts from 1. Short, whatever the resource is called."""
    return f"qnb-{step}-{digest(owner_uid)}-{attempt:02d}"


def slot_run_name(schedule: str, schedule_uid: str, slot: datetime) -> str:
    """The run of a slot. A schedule made anew under the same name has runs of its own."""
    return f"{schedule}-{digest(schedule_uid, 'slot', f'{slot.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}', length=10)}"


def trigger_run_name(schedule: str, schedule_uid: str, trigger: str) -> str:
    return f"{schedule}-{digest(schedule_uid, 'trigger', trigger, length=10)}"


def event_name(owner_uid: str, reason: str, occurrence: int) -> str:
    return f"qnb-{digest(owner_uid, reason, occurrence)}"


def local_url(claim: str, path: str) -> str:
    """Where a bundle is, in backup_logs. Also the mark of the rows that are ours."""
    return f"pvc://{claim}/{path}"


def bundle_name(started: datetime) -> str:
    """As QuoteNode names its own. For people: nothing ever parses it back."""
    return f"quotenode-backup-{started.astimezone(UTC):%Y%m%d-%H%M%S}{SUFFIX}"
