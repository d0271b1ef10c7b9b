"""One pass over one resource, by the reconciler of its kind. A new kind of resource gets its branch here."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from quotenode_backup.api.backup import KIND
from quotenode_backup.api.restore import KIND as RESTORE_KIND
from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.custom_resources import Unfinished
from quotenode_backup.cluster.errors import Refused
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import (
    AnyBackup,
    Backup,
    BackupRun,
    Resource,
    Run,
    Schedule,
    UnreadableRun,
    UnreadableSchedule,
)
from quotenode_backup.cluster.restore_objects import AnyRestore
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.manifests.backup_job import BACKUP
from quotenode_backup.manifests.restore_jobs import AT_WORK
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.backup.cleanup import Cleanup
from quotenode_backup.reconcile.backup.reconciler import BackupReconciler
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL_EXTERNAL, PassResult
from quotenode_backup.reconcile.restore.cleanup import Cleanup as RestoreCleanup
from quotenode_backup.reconcile.restore.reconciler import RestoreReconciler
from quotenode_backup.reconcile.restore.stages import must_go_on
from quotenode_backup.reconcile.restore.status import recreated as recreated_restore
from quotenode_backup.reconcile.schedule.reconciler import ScheduleReconciler
from quotenode_backup.reconcile.schedule.snapshot import Snapshots
from quotenode_backup.reconcile.target.acquire import LockAcquirer
from quotenode_backup.reconcile.target.capacity import CapacityGate, ConcurrencyLimit
from quotenode_backup.reconcile.target.wind_down import WindDown

logger = logging.getLogger(__name__)

ANY_NUMBER = ConcurrencyLimit()
STEPS_AT_WORK: dict[str, tuple[str, ...]] = {KIND: (BACKUP,), RESTORE_KIND: AT_WORK}
"""By kind: the steps whose pods can touch the database or the files."""


@dataclass(frozen=True, slots=True)
class HoldersOfLocks:
    """Whether the holder of a lock is finished, which only the code for the holder's kind can know."""

    cluster: Cluster

    async def is_over(self, owner: Owner) -> bool:
        if owner.kind not in STEPS_AT_WORK:
            return False
        found: Resource | None
        if owner.kind == RESTORE_KIND:
            found = await self.cluster.restores.read(owner.namespace, owner.name)
        else:
            found = await self.cluster.backups.read(owner.namespace, owner.name)
        return found is None or found.uid != owner.uid or (isinstance(found, Run) and found.is_over)

    async def unfinished(self, namespace: str) -> list[Unfinished]:
        return [*await self.cluster.restores.unfinished(namespace), *await self.cluster.backups.unfinished(namespace)]

    async def may_start(self, owner: Owner) -> bool:
        """The pod of a restore may be in the middle of its swap, and goes on without its resource."""
        return owner.kind != RESTORE_KIND or not await self.is_at_work(owner)

    async def is_at_work(self, owner: Owner) -> bool:
        for step in STEPS_AT_WORK.get(owner.kind, ()):
            jobs, pods = await self.cluster.jobs.of(owner, step), await self.cluster.pods.of(owner, step)
            if any(not job.is_finished for job in jobs) or any(not pod.is_over for pod in pods):
                return True
        return False


class Dispatcher:
    def __init__(
        self,
        context: Context,
        limit: ConcurrencyLimit = ANY_NUMBER,
        snapshots: Snapshots | None = None,
        policies: Mapping[str, AdmissionPolicy] | None = None,
    ) -> None:
        """`snapshots`: filled in for the metrics.

        `policies`: by kind, the admission policy that checks the authors of its resources. None: there is no such policy.
        """
        cluster = context.cluster
        self._context = context
        policies = policies or {}
        self._admission = Admission(policies.get(KIND))
        holders = HoldersOfLocks(cluster)
        self._wind_down = WindDown(cluster, holders)
        locks = LockAcquirer(cluster, holders, self._wind_down, CapacityGate(cluster.leases, limit))
        self._backups = BackupReconciler(context, self._admission, locks, self._wind_down)
        self._cleanup = Cleanup(context, self._wind_down)
        self._restores = RestoreReconciler(context, Admission(policies.get(RESTORE_KIND)), locks, self._wind_down)
        self._restore_cleanup = RestoreCleanup(context, self._wind_down)
        snapshots = {} if snapshots is None else snapshots
        self._schedules = ScheduleReconciler(context, snapshots, self._admission)

    async def reconcile(self, key: Key) -> PassResult:
        """Raises ApiError when the pass has to be repeated. A resource of a kind that is unknown here is left alone."""
        match key.kind:
            case _ if key.kind == KIND:
                return await self._over_backup(key)
            case _ if key.kind == RESTORE_KIND:
                return await self._over_restore(key)
            case _:
                return PassResult(None)

    async def _over_restore(self, key: Key) -> PassResult:
        run = await self._context.cluster.restores.read(key.namespace, key.name)
        if run is None:
            self._restores.forget(key)
            is_free = await self._wind_down.release_absent(key, self._context.clock())
            return PassResult(None if is_free else POLL_EXTERNAL)
        if run.is_history and not run.deleting:
            now = self._context.clock()
            await self._context.cluster.restores.write_status(run, recreated_restore(run, now))
            return PassResult(NOW)
        is_over = run.status.is_finished or run.deleting
        if is_over and not (must_go_on(run) and await self._can_go_on(run)):
            return PassResult(await self._restore_cleanup.cleanup(run))
        return await self._restores.reconcile(run)

    async def _can_go_on(self, run: AnyRestore) -> bool:
        """A namespace that is terminating lets nobody create another Job. What the one that swaps has begun, it ends by itself."""
        return not await self._context.cluster.is_terminating(run.namespace)

    async def _over_backup(self, key: Key) -> PassResult:
        found = await self._context.cluster.backups.read(key.namespace, key.name)
        if found is None or isinstance(found, Backup):
            self._schedules.forget(key)
        if found is None:
            return await self._over_nothing(key)
        if not isinstance(found, Backup):
            return await self._over_schedule(found)
        return await self._over_run(found)

    async def _over_schedule(self, schedule: Schedule | UnreadableSchedule) -> PassResult:
        """A new schedule may have the name of a run that was deleted while the application was stopped."""
        if not schedule.status.conditions and not await self._released(schedule):
            return PassResult(POLL_EXTERNAL)
        return await self._schedules.reconcile(schedule)

    async def _released(self, found: AnyBackup) -> bool:
        """Whether nothing is left of earlier resources of this name. What may not be started holds nobody up: who needs
        the lock says so.
        """
        try:
            return await self._wind_down.release_absent(found.owner.key, self._context.clock(), but_for=found.uid)
        except Refused as exc:
            logger.warning(
                "%s/%s: what an earlier backup stopped can't be started: %s", found.namespace, found.name, exc
            )
            return True

    async def _over_nothing(self, key: Key) -> PassResult:
        self._backups.forget(key)
        is_free = await self._wind_down.release_absent(key, self._context.clock())
        return PassResult(None if is_free else POLL_EXTERNAL)

    async def _over_run(self, run: BackupRun | UnreadableRun) -> PassResult:
        if run.is_history and not run.deleting:
            return await self._receive(run)
        if run.status.is_finished or run.deleting:
            return PassResult(await self._cleanup.cleanup(run))
        if await self._cleanup.agree_on_finalizer(run):
            return PassResult(NOW)
        if isinstance(run, BackupRun):
            return await self._backups.reconcile(run)
        return await self._backups.refuse(run) if await self._released(run) else PassResult(POLL_EXTERNAL)

    async def _receive(self, run: Backup) -> PassResult:
        """The annotation with a run's outcome is acted on only if the admission policy has checked the run's author."""
        judged = await self._admission.judge(run)
        if isinstance(judged, NotAdmitted):
            return await self._backups.hold(run, judged)
        return PassResult(await self._cleanup.receive(run))
