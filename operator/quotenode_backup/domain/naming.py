"""Names that follow from what they name: the same thing always gets the same name, so that a retry finds it."""

import hashlib
from datetime import UTC, datetime

from quotenode_backup.domain.bundle import PREFIX, SUFFIX


def digest(*parts: object, length: int = 20) -> str:
    """The first `length` hex digits of the SHA-256 of the parts, joined by NUL."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def job_name(step: str, owner_uid: str, attempt: int) -> str:
    """The name of a step's Job. `attempt` counts from 1. The length does not depend on the name of the resource."""
    return f"qnb-{step}-{digest(owner_uid)}-{attempt:02d}"


def slot_run_name(schedule: str, schedule_uid: str, slot: datetime) -> str:
    """The name of a slot's run. A schedule that is created again under the same name has other runs."""
    return f"{schedule}-{digest(schedule_uid, 'slot', f'{slot.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}', length=10)}"


def trigger_run_name(schedule: str, schedule_uid: str, trigger: str) -> str:
    return f"{schedule}-{digest(schedule_uid, 'trigger', trigger, length=10)}"


def event_name(owner_uid: str, reason: str, occurrence: int) -> str:
    return f"qnb-{digest(owner_uid, reason, occurrence)}"


def local_url(claim: str, path: str) -> str:
    """Where a bundle is, as backup_logs has it. The scheme also marks the rows that the operator wrote."""
    return f"pvc://{claim}/{path}"


def bundle_name(started: datetime) -> str:
    """The form of QuoteNode's own bundle names. It is for people to read and is never parsed."""
    return f"{PREFIX}{started.astimezone(UTC):%Y%m%d-%H%M%S}{SUFFIX}"
