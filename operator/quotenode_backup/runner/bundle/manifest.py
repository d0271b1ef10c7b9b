"""The manifest of a bundle, made of the plan and of what was written."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from quotenode_backup.contract.facts import DatabaseFacts
from quotenode_backup.contract.manifest import (
    BundleManifest,
    BundleTarget,
    DatabaseMember,
    FilesMember,
    FilesSource,
    IndexMember,
    RunnerUser,
    TablesMember,
)
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.tables import DumpedTable
from quotenode_backup.domain import bundle as shape
from quotenode_backup.runner.bundle.members import Part
from quotenode_backup.runner.files.account import NOTES_KEPT, Account


@dataclass(frozen=True, slots=True)
class KnownOfDatabase:
    """What is known about the database beside its dump."""

    facts: DatabaseFacts | None = None
    tables: Sequence[DumpedTable] | None = None
    """None if the rows could not be counted."""


def with_notes(account: Account, count: int, notes: Sequence[str]) -> Account:
    """The account of the files with the notes on the dump put first. `count`: how many notes on the dump there were, kept or not."""
    own = [{"path": shape.DUMP, "note": note} for note in notes]
    return replace(account, note_count=count + account.note_count, notes=[*own, *account.notes][:NOTES_KEPT])


def describe(
    plan: BackupPlan,
    parts: Mapping[str, Part],
    account: Account,
    versions: Mapping[str, Any],
    system_identifier: int,
    known: KnownOfDatabase,
) -> BundleManifest:
    """`account`: of the files, with all notes. `system_identifier`: the server's own."""
    return BundleManifest(
        format_version=shape.FORMAT_VERSION,
        run_uid=plan.run_uid,
        namespace=plan.namespace,
        name=plan.name,
        attempt=plan.attempt,
        initiated_by=plan.initiated_by,
        started=plan.started.astimezone(UTC),
        completed=datetime.now(UTC),
        target=target(plan, system_identifier),
        versions=dict(versions),
        runner=RunnerUser(uid=os.geteuid(), gid=os.getegid()),
        database=_database(parts, known),
        note_count=account.note_count,
        notes=tuple(account.notes),
        files=_files(plan, parts, account) if shape.FILES in parts else None,
    )


def target(plan: BackupPlan, system_identifier: int) -> BundleTarget:
    """The system identifier tells servers apart that have the same name in two clusters, both of which write into one exported folder."""
    database = plan.database
    return BundleTarget(
        host=database.host, port=database.port, database=database.name, system_identifier=str(system_identifier)
    )


def _database(parts: Mapping[str, Part], known: KnownOfDatabase) -> DatabaseMember:
    dump, tables = parts[shape.DUMP], None
    if known.tables is not None:
        part, rows = parts[shape.TABLES], sum(table.rows for table in known.tables)
        tables = TablesMember(
            member="tables.json.gz",
            size_bytes=part.size,
            sha256=part.sha256,
            tables=len(known.tables),
            rows=rows,
        )
    return DatabaseMember(
        member="backup.dump", size_bytes=dump.size, sha256=dump.sha256, tables=tables, facts=known.facts
    )


def _files(plan: BackupPlan, parts: Mapping[str, Part], account: Account) -> FilesMember:
    part, index = parts[shape.FILES], parts[shape.INDEX]
    sources = tuple(FilesSource(name=f.name, claim_name=f.claim_name, sub_path=f.sub_path) for f in plan.files)
    return FilesMember(
        member="files.tar.gz",
        size_bytes=part.size,
        sha256=part.sha256,
        files=account.files,
        folders=account.folders,
        links=account.links,
        content_bytes=account.bytes,
        sources=sources,
        leftovers=account.leftovers,
        index=IndexMember(member="files.index.zst", size_bytes=index.size, sha256=index.sha256),
    )
