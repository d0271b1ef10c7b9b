"""A run is stored once: what an earlier attempt committed is found, checked and reported, never made again."""

import hashlib
from datetime import datetime

from quotenode_backup.contract import Plan, Result, StoredBundle, StoredComponent
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner import plans
from quotenode_backup.runner.destination import Folder, Record


def find(folder: Folder, run_uid: str) -> Record | None:
    """The commit record of this run, if its bundle still is what the record says."""
    for record in folder.records():
        if record["runUid"] == run_uid and _is_whole(folder, record):
            return record
    return None


def _is_whole(folder: Folder, record: Record) -> bool:
    path = folder.path / record["bundle"]["name"]
    if path.is_symlink() or not path.is_file() or path.stat().st_size != record["bundle"]["sizeBytes"]:
        return False
    with path.open("rb") as file:
        return bool(hashlib.file_digest(file, "sha256").hexdigest() == record["bundle"]["sha256"])


def result(plan: Plan, folder: Folder, record: Record, how: str) -> Result:
    """`how` ends the sentence about the bundle."""
    bundle, files = record["bundle"], record.get("files")
    stored = StoredBundle(
        path=folder.below_claim(bundle["name"]),
        size_bytes=bundle["sizeBytes"],
        sha256=bundle["sha256"],
        database=_component(record["database"]),
        files=_component(files) if files else None,
        completed=datetime.fromisoformat(record["completed"]),
        user_id=record.get("runner", {}).get("uid"),
    )
    message = f"{bundle['name']} ({readable_size(bundle['sizeBytes'])}) {how}.{_on_notes(record['noteCount'])}"
    return plans.stored(plan, stored, record["noteCount"], message)


def _on_notes(count: int) -> str:
    return f" Its manifest holds {count} {'note' if count == 1 else 'notes'}, as does the log." if count else ""


def _component(recorded: Record) -> StoredComponent:
    return StoredComponent(size_bytes=recorded["sizeBytes"], sha256=recorded["sha256"])
