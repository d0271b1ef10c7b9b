"""One pass over one resource, by the reconciler of its kind. A new kind of resource gets its branch here."""

import logging
from dataclasses import dataclass

from quotenode_backup.api.backup import KIND
from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.custom_resources import Unfinished
from quotenode_backup.cluster.errors import Refused
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import (
    AnyBackup,
    Backup,
    BackupRun,
    Schedule,
    UnreadableRun,
    UnreadableSchedule,
)
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.manifests.backup_job import BACKUP
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.backup.cleanup import Cleanup
from quotenode_backup.reconcile.backup.reconciler import BackupReconciler
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL_EXTERNAL, PassResult
from quotenode_backup.reconcile.schedule.reconciler import ScheduleReconciler
from quotenode_backup.reconcile.schedule.snapshot import Snapshots
from quotenode_backup.reconcile.target.acquire import LockAcquirer
from quotenode_backup.reconcile.target.capacity import CapacityGate, ConcurrencyLimit
from quotenode_backup.reconcile.target.wind_down import WindDown

logger = logging.getLogger(__name__)

ANY_NUMBER = ConcurrencyLimit()


@dataclass(frozen=True, slots=True)
class HoldersOfLocks:
    """Whether the holder of a lock is finished, which only the code for the holder's kind can know."""

    cluster: Cluster

    async def is_over(self, owner: Owner) -> bool:
        if owner.kind != KIND:
            return False
        found = await self.cluster.backups.read(owner.namespace, owner.name)
        return found is None or found.uid != owner.uid or (isinstance(found, Backup) and found.is_over)

    async def unfinished(self, namespace: str) -> list[Unfinished]:
        return await self.cluster.backups.unfinished(namespace)

    async def is_at_work(self, owner: Owner) -> bool:
        jobs = await self.cluster.jobs.of(owner, BACKUP)
        pods = await self.cluster.pods.of(owner, BACKUP)
        return any(not job.is_finished for job in jobs) or any(not pod.is_over for pod in pods)


class Dispatcher:
    def __init__(
        self,
        context: Context,
        limit: ConcurrencyLimit = ANY_NUMBER,
        snapshots: Snapshots | None = None,
        policy: AdmissionPolicy | None = None,
    ) -> None:
        """`snapshots`: filled in for the metrics.

        `policy`: the admission policy that checks the authors of resources. None: there is no such policy.
        """
        cluster = context.cluster
        self._context = context
        self._admission = Admission(policy)
        holders = HoldersOfLocks(cluster)
        self._wind_down = WindDown(cluster, holders)
        locks = LockAcquirer(cluster, holders, self._wind_down, CapacityGate(cluster.leases, limit))
        self._backups = BackupReconciler(context, self._admission, locks, self._wind_down)
        self._cleanup = Cleanup(context, self._wind_down)
        snapshots = {} if snapshots is None else snapshots
        self._schedules = ScheduleReconciler(context, snapshots, self._admission)

    async def reconcile(self, key: Key) -> PassResult:
        """Raises ApiError when the pass has to be repeated. A resource of a kind that is unknown here is left alone."""
        return await self._over_backup(key) if key.kind == KIND else PassResult(None)

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
