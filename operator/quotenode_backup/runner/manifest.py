"""What a bundle says about itself, inside and beside it."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from quotenode_backup.contract import Plan
from quotenode_backup.domain import bundle as shape
from quotenode_backup.runner.segments import Part

NO_FILES: dict[str, Any] = {"files": 0, "folders": 0, "links": 0, "bytes": 0, "note_count": 0, "notes": []}


NOTES_KEPT = 100


def with_notes(account: Mapping[str, Any], count: int, notes: Sequence[str]) -> dict[str, Any]:
    """The account of the files, and what pg_dump warned of before it."""
    own = [{"path": shape.DUMP, "note": note} for note in notes]
    return {
        **account,
        "note_count": count + account["note_count"],
        "notes": [*own, *account["notes"]][:NOTES_KEPT],
    }


def describe(
    plan: Plan,
    parts: Mapping[str, Part],
    account: Mapping[str, Any],
    versions: Mapping[str, Any],
    system_identifier: int,
) -> dict[str, Any]:
    """`account` is what the archive said about the files, `system_identifier` PostgreSQL's own of the server."""
    description: dict[str, Any] = {
        "formatVersion": shape.FORMAT_VERSION,
        "runUid": plan.run_uid,
        "namespace": plan.namespace,
        "name": plan.name,
        "attempt": plan.attempt,
        "initiatedBy": plan.initiated_by,
        "started": stamp(plan.started),
        "completed": stamp(datetime.now(UTC)),
        "target": target(plan, system_identifier),
        "versions": dict(versions),
        "runner": {"uid": os.geteuid(), "gid": os.getegid()},
        "database": _component(parts[shape.DUMP]),
        "noteCount": account["note_count"],
        "notes": account["notes"],
    }
    if shape.FILES in parts:
        description["files"] = _component(parts[shape.FILES]) | _counts(plan, account)
    return description


def target(plan: Plan, system_identifier: int) -> dict[str, Any]:
    """Two clusters that write into one exported folder can call their servers the same: the identifier tells them apart."""
    database = plan.database
    identifier = str(system_identifier)  # above what a number in JSON can hold for many readers
    return {"host": database.host, "port": database.port, "database": database.name, "systemIdentifier": identifier}


def _component(part: Part) -> dict[str, Any]:
    return {"member": part.name, "sizeBytes": part.size, "sha256": part.sha256}


def _counts(plan: Plan, account: Mapping[str, Any]) -> dict[str, Any]:
    sources = [{"name": f.name, "claimName": f.claim_name, "subPath": f.sub_path} for f in plan.files]
    return {
        "files": account["files"],
        "folders": account["folders"],
        "links": account["links"],
        "contentBytes": account["bytes"],
        "sources": sources,
    }


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
