"""Names that are functions of what they name: the same thing always gets the same name, so a retry finds it."""

import hashlib
from datetime import UTC, datetime

from quotenode_backup.domain.bundle import SUFFIX


def digest(*parts: object, length: int = 20) -> str:
    """The first `length` hex digits of the sha256 over the NUL-joined parts."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def target_digest(host: str, port: int, database: str) -> str:
    """The identity of a database, as far as one namespace can know it."""
    return digest("postgresql", host, port, database, length=24)


def lease_name(host: str, port: int, database: str) -> str:
    return f"qn-lock-{target_digest(host, port, database)}"


def job_name(run_uid: str, attempt: int) -> str:
    """`attempt` counts from 1. 27 characters, whatever the resource is called."""
    return f"qnb-{digest(run_uid)}-{attempt:02d}"


def slot_run_name(schedule: str, schedule_uid: str, slot: datetime) -> str:
    """The run of a slot. A schedule made anew under the same name has runs of its own."""
    return f"{schedule}-{digest(schedule_uid, 'slot', f'{slot.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}', length=10)}"


def trigger_run_name(schedule: str, schedule_uid: str, trigger: str) -> str:
    return f"{schedule}-{digest(schedule_uid, 'trigger', trigger, length=10)}"


def event_name(run_uid: str, reason: str, occurrence: int) -> str:
    return f"qnb-{digest(run_uid, reason, occurrence)}"


def task_job_name(task: str, run_uid: str, attempt: int) -> str:
    """The Job of something done after a run: `record` or `remove`. `attempt` counts from 1."""
    return f"qnb-{task}-{digest(run_uid)}-{attempt:02d}"


def local_url(claim: str, path: str) -> str:
    """Where a bundle is, in backup_logs. Also the mark of the rows that are ours."""
    return f"pvc://{claim}/{path}"


def bundle_folder(namespace: str, host: str, port: int, database: str) -> str:
    """The folder, below `storage.local.subPath`, that holds the bundles of one database and no other's."""
    return f"{namespace}-{target_digest(host, port, database)}"


def bundle_home(sub_path: str, namespace: str, host: str, port: int, database: str) -> str:
    """That folder inside the claim, with a slash at its end. `sub_path`: of `storage.local`."""
    folder = bundle_folder(namespace, host, port, database)
    return "".join(f"{part}/" for part in (sub_path, folder) if part)


def bundle_name(started: datetime) -> str:
    """As QuoteNode names its own. For people: nothing ever parses it back."""
    return f"quotenode-backup-{started.astimezone(UTC):%Y%m%d-%H%M%S}{SUFFIX}"
