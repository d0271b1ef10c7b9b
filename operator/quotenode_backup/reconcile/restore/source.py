"""What a restore restores, and where to: looked up in the restore itself and in the resource that it names.

What is restored is looked up once and recorded in the status. Where to is read from the resources each time, and never from a status or a bundle: both
could send a password somewhere else.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from quotenode_backup.api.application import Workload
from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.api.restore import Component, FilesTarget, RestoreDatabase
from quotenode_backup.api.restore_status import ResolvedSource, RestoreKind, RestoreTarget
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Backup, BackupRun, Run, Schedule
from quotenode_backup.cluster.restore_objects import Restore, RestoreRun
from quotenode_backup.contract.plans import PlannedClaim
from quotenode_backup.contract.restore_plans import PlannedBundle
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.restore.stages import is_past_load

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unresolved(Exception):
    """What is needed is not there. The message says what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True, slots=True)
class Resolved:
    source: ResolvedSource
    kind: RestoreKind
    database: RestoreDatabase
    restores_database: bool
    files: tuple[FilesTarget, ...]
    """Empty if no files are restored."""
    workloads: tuple[Workload, ...]
    undo_of: str | None = None
    backup: BackupRun | None = None

    @property
    def target(self) -> RestoreTarget:
        return RestoreTarget(host=self.database.host, port=self.database.port, name=self.database.name)

    @property
    def bundle(self) -> PlannedBundle | None:
        known = self.source
        if known.claim_name is None or known.bundle is None:
            return None
        claim = PlannedClaim(claim_name=known.claim_name)
        run_uid = self.backup.bundle_uid if self.backup else None
        return PlannedBundle(claim=claim, path=known.bundle, sha256=known.sha256, run_uid=run_uid)


async def resolve(cluster: Cluster, run: RestoreRun) -> Resolved:
    """Raises Unresolved. What the status names already is not looked up again, only read."""
    known, source = run.status.source, run.spec.source
    if source.undo_of:
        return await _of_undo(cluster, run, source.undo_of)
    if source.archive:
        summary = f"{source.archive.path} of claim {source.archive.claim_name}"
        place = {"claim_name": source.archive.claim_name, "bundle": source.archive.path, "sha256": source.sha256}
        return _resolved(run, known or ResolvedSource(summary=summary, **place), None)
    name = known.run if known and known.run else source.backup_name or await _latest(cluster, run)
    found = await cluster.backups.read(run.namespace, name)
    if not isinstance(found, BackupRun) or not _is_the_same(run, found):
        raise _missing(f"There is no QuoteNodeBackup {name} that can be read, or it was created again")
    return _resolved(run, known or _source_of(run, found), found)


def _is_the_same(run: RestoreRun, found: Run) -> bool:
    """Whether this is the resource that was looked up at first.

    One that was created again says nothing about what is to be restored. Once everything is loaded it is only needed to get at the same database.
    """
    known = run.status.source
    return (
        known is None
        or known.run_uid in (found.uid, found.original_uid)
        or (is_past_load(run) and found.target == run.target)
    )


async def _latest(cluster: Cluster, run: RestoreRun) -> str:
    wanted = run.spec.source.latest_of
    assert wanted, "exactly one source is set"
    schedule = await cluster.backups.read(run.namespace, wanted.schedule)
    if not isinstance(schedule, Schedule):
        raise _missing(f"There is no schedule {wanted.schedule}")
    runs = [one for one in await cluster.backups.of_schedule(schedule) if _is_restorable(one)]
    before = [one for one in runs if (one.status.start_time or one.created) < wanted.before]
    if not before:
        raise _missing(
            f"Schedule {wanted.schedule} has no completed backup from before {wanted.before} whose bundle is there"
        )
    return max(before, key=lambda one: one.status.start_time or _EPOCH).name


def _is_restorable(run: Backup) -> bool:
    status = run.status
    return status.holds(ConditionType.COMPLETE) and status.holds(ConditionType.LOCAL_BUNDLE_PRESENT)


def _source_of(run: RestoreRun, backup: BackupRun) -> ResolvedSource:
    status, wanted = backup.status, run.spec.source.sha256
    if not _is_restorable(backup) or not status.destinations or not status.checksum:
        raise _missing(f"QuoteNodeBackup {backup.name} has no bundle: it is not completed, or its bundle was removed")
    if wanted not in (None, status.checksum):
        raise Unresolved(
            Reason.BUNDLE_INVALID,
            f"The bundle of QuoteNodeBackup {backup.name} has the SHA-256 {status.checksum}, and spec.source.sha256 asks for another one",
        )
    place = status.destinations[0]
    return ResolvedSource(
        summary=backup.name,
        run=backup.name,
        run_uid=backup.uid,
        claim_name=place.claim_name,
        bundle=place.path,
        sha256=status.checksum,
        backup_time=status.start_time,
    )


def _resolved(run: RestoreRun, source: ResolvedSource, backup: BackupRun | None) -> Resolved:
    wanted = frozenset(run.spec.components or Component)
    database = run.spec.database or (_database_of(backup) if backup else None)
    if database is None:
        raise Unresolved(Reason.SPEC_INVALID, "spec.database is missing, and there is no backup to inherit it from")
    files = _files_of(run, backup) if Component.FILES in wanted else ()
    if run.spec.components and Component.FILES in wanted and not files:
        raise Unresolved(
            Reason.SPEC_INVALID, "spec.components asks for Files, and neither spec.files nor the backup has any"
        )
    is_whole = Component.DATABASE in wanted and (Component.FILES in wanted)
    kind = RestoreKind.DRY_RUN if run.spec.dry_run else RestoreKind.WHOLE if is_whole else RestoreKind.PART
    return Resolved(
        source=source,
        kind=kind,
        database=database,
        restores_database=Component.DATABASE in wanted,
        files=files,
        workloads=_workloads_of(run, backup),
        backup=backup,
    )


def _database_of(backup: BackupRun) -> RestoreDatabase:
    given = backup.spec.database.model_dump(exclude={"compression"})
    return RestoreDatabase.model_validate(given)


def _files_of(run: RestoreRun, backup: BackupRun | None) -> tuple[FilesTarget, ...]:
    if run.spec.files is not None:
        return tuple(run.spec.files)
    given = backup.spec.files if backup else []
    return tuple(FilesTarget(name=one.name, claim_name=one.claim_name, sub_path=one.sub_path) for one in given)


def _workloads_of(run: RestoreRun, backup: BackupRun | None) -> tuple[Workload, ...]:
    given = run.spec.application
    if given and given.workloads is not None:
        return tuple(Workload(kind=one.kind, name=one.name) for one in given.workloads)
    inherited = backup.spec.application if backup else None
    return tuple(inherited.workloads) if inherited else ()


async def _of_undo(cluster: Cluster, run: RestoreRun, name: str) -> Resolved:
    known = run.status.source
    earlier = await cluster.restores.read(run.namespace, name)
    if not isinstance(earlier, RestoreRun) or not _is_the_same(run, earlier):
        raise _missing(f"There is no QuoteNodeRestore {name} that can be read, or it was created again")
    if earlier.uid == run.uid:
        raise Unresolved(Reason.SPEC_INVALID, "spec.source.undoOf names the restore itself")
    if known is None:
        _require_kept(earlier)
    before = await resolve(cluster, earlier)
    source = known or ResolvedSource(summary=f"what {name} has replaced", run=name, run_uid=earlier.original_uid)
    given = run.spec.application
    has_own = given is not None and given.workloads is not None
    return Resolved(
        source=source,
        kind=RestoreKind.DRY_RUN if run.spec.dry_run else RestoreKind.UNDO,
        database=before.database,
        restores_database=before.restores_database,
        files=before.files,
        workloads=_workloads_of(run, None) if has_own else before.workloads,
        undo_of=source.run_uid,
    )


def _require_kept(earlier: Restore) -> None:
    if not earlier.status.holds(ConditionType.REPLACED_DATA_KEPT):
        raise _missing(f"What QuoteNodeRestore {earlier.name} has replaced is not kept any more")


def _missing(what: str) -> Unresolved:
    return Unresolved(Reason.SOURCE_MISSING, f"{what}: name another source")
