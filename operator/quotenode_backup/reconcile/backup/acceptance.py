"""What a run needs before its first attempt: a checked author, a node for its pod, and the lock of its database."""

from contextlib import suppress
from datetime import datetime

from quotenode_backup.cluster.errors import Refused
from quotenode_backup.cluster.objects import Backup, BackupRun
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.ending import Ending
from quotenode_backup.reconcile.backup.needs import placement_of
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.grace_timers import GraceTimers
from quotenode_backup.reconcile.jobs.placement import Misplaced
from quotenode_backup.reconcile.reporting import conditions
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL_EXTERNAL, POLL_REFUSED, PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter
from quotenode_backup.reconcile.target import lock
from quotenode_backup.reconcile.target.acquire import Applicant, LockAcquirer, LockHeld
from quotenode_backup.reconcile.target.capacity import AtCapacity, NotNow
from quotenode_backup.reconcile.target.wind_down import WindDown
from quotenode_backup.reconcile.target.workloads import known_stopped


class Acceptance:
    def __init__(
        self,
        context: Context,
        timers: GraceTimers,
        admission: Admission,
        locks: LockAcquirer,
        wind_down: WindDown,
    ) -> None:
        self._cluster = context.cluster
        self._writer = StatusWriter(context.cluster.backups, context.events)
        self._ending = Ending(context, timers)
        self._timers = timers
        self._admission = admission
        self._locks = locks
        self._wind_down = wind_down

    async def accept(self, run: BackupRun, now: datetime) -> PassResult:
        predecessor = await self._predecessor(run, now)
        if predecessor:
            return await self._wait(run, Reason.WAITING_FOR_TARGET, predecessor, now)
        judged = await self._admission.judge(run)
        if isinstance(judged, NotAdmitted):
            return await self.hold(run, judged, now)
        placement = await placement_of(self._cluster, run)
        if isinstance(placement, Placement):
            self._timers.reset(run.owner.key)
            return await self._writer.write(run, next_status.accepted(run, judged.policy, now), waits=True)
        return await self._misplaced(run, placement, now)

    async def hold(self, run: Backup, found: NotAdmitted, now: datetime) -> PassResult:
        """A run whose author the admission policy has not checked waits, or fails if it never can be checked."""
        if not found.may_pass:
            return await self._ending.fail(run, found.reason, found.message, now)
        self._timers.reset(run.owner.key)
        return await self._writer.wait(run, run.status, found.reason, found.message, now, POLL_REFUSED)

    async def _misplaced(self, run: BackupRun, found: Misplaced, now: datetime) -> PassResult:
        if found.reason is Reason.RUN_AS_USER_NEEDED and (
            stopper := await lock.other_stopper(self._cluster, run.owner)
        ):
            with suppress(Refused):
                await self._wind_down.start_abandoned(stopper, now)
            name = stopper.holder.name if stopper.holder else "an earlier run"
            message = f"Waiting for {name}, which has stopped the application whose pods show who can read the files"
            return await self._wait(run, Reason.WAITING_FOR_TARGET, message, now)
        self._timers.record(run, found.reason, now)
        if found.may_pass and not self._timers.exceeded(run, found.reason, now):
            status = conditions.waiting(run, run.status, found.reason, found.message, now)
            return await self._writer.write(run, status, POLL_EXTERNAL)
        return await self._ending.fail(run, found.reason, found.message, now)

    async def _predecessor(self, run: BackupRun, now: datetime) -> str:
        """Why the run has to wait for an earlier resource of its name; empty when it need not."""
        try:
            if await self._wind_down.release_absent(run.owner.key, now, but_for=run.uid):
                return ""
        except Refused as exc:
            return (
                f"Waiting: what an earlier backup {run.name} stopped can't be started again, or the lock of that backup"
                f" can't be released ({exc}). Allow it; to start the application at once, scale it up by hand"
            )
        return "Waiting for the pod of an earlier backup of this name to end"

    async def take_lock(self, run: BackupRun, now: datetime) -> PassResult:
        applicant = Applicant(run.owner, run.target, run.created, known_stopped(run))
        match await self._locks.acquire(applicant, now):
            case None:
                return PassResult(NOW)
            case LockHeld(sentence):
                self._locks.forget(run.owner.key)
                return await self._wait(run, Reason.WAITING_FOR_TARGET, sentence, now)
            case AtCapacity(requeue_after=requeue_after) as full:
                self._timers.reset(run.owner.key)
                return await self._writer.wait(
                    run, run.status, Reason.WAITING_FOR_CAPACITY, full.sentence, now, requeue_after
                )
            case NotNow(requeue_after):
                return PassResult(requeue_after, waits=True)

    async def _wait(self, run: BackupRun, reason: Reason, message: str, now: datetime) -> PassResult:
        self._timers.reset(run.owner.key)
        return await self._writer.wait(run, run.status, reason, message, now, POLL_EXTERNAL)
