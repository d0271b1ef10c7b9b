"""What a restore needs before its first attempt: a checked author, something to restore, and later the lock of its database."""

from datetime import datetime

from quotenode_backup.cluster.errors import Refused
from quotenode_backup.cluster.restore_objects import Restore, RestoreRun
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.admission import Admission, NotAdmitted
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.steps import Fail
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL_EXTERNAL, POLL_REFUSED, PassResult
from quotenode_backup.reconcile.reporting.status_writer import StatusWriter
from quotenode_backup.reconcile.restore import status as next_status
from quotenode_backup.reconcile.restore.decisions import RESTORE, in_use
from quotenode_backup.reconcile.restore.ending import Ending
from quotenode_backup.reconcile.restore.needs import users_of_files
from quotenode_backup.reconcile.restore.source import Resolved, Unresolved, resolve
from quotenode_backup.reconcile.target import workloads
from quotenode_backup.reconcile.target.acquire import Applicant, LockAcquirer, LockHeld
from quotenode_backup.reconcile.target.capacity import AtCapacity, NotNow
from quotenode_backup.reconcile.target.stopping import stopping
from quotenode_backup.reconcile.target.wind_down import WindDown
from quotenode_backup.reconcile.target.workloads import known_stopped


class Acceptance:
    def __init__(
        self, context: Context, ending: Ending, admission: Admission, locks: LockAcquirer, wind_down: WindDown
    ) -> None:
        self._cluster = context.cluster
        self._writer = StatusWriter(context.cluster.restores, context.events)
        self._ending, self._admission, self._locks, self._wind_down = ending, admission, locks, wind_down

    async def accept(self, run: RestoreRun, now: datetime) -> PassResult:
        judged = await self._admission.judge(run)
        if isinstance(judged, NotAdmitted):
            return await self.hold(run, judged, now)
        if not await self._is_alone(run, now):
            message = "Waiting for the pod of an earlier restore of this name to end, or for its application to start"
            return await self._wait(run, message, now)
        try:
            found = await resolve(self._cluster, run)
        except Unresolved as missing:
            return await self._ending.fail(run, missing.reason, missing.message, now)
        obstacle = await self._obstacle(run, found, now)
        if obstacle:
            return await self._ending.fail(run, obstacle.reason, obstacle.message, now)
        return await self._writer.write(run, next_status.accepted(run, found, judged.policy, now))

    async def _obstacle(self, run: RestoreRun, found: Resolved, now: datetime) -> Fail | None:
        """What would forbid the swap, found before anything is loaded for it. It is looked at again right before the swap."""
        application = None
        if found.workloads:
            application = await workloads.observe(self._cluster, run.namespace, found.workloads, None)
        step = stopping(application, RESTORE, None, None, now)
        if isinstance(step, Fail):
            return step
        own = application.live_pods if application else ()
        users = await users_of_files(self._cluster, run, found, own)
        return Fail(Reason.CLAIM_IN_USE, in_use(users[0])) if users else None

    async def hold(self, run: Restore, found: NotAdmitted, now: datetime) -> PassResult:
        """A restore whose author the admission policy has not checked waits, or fails if it never can be checked."""
        if not found.may_pass:
            return await self._ending.fail(run, found.reason, found.message, now)
        return await self._writer.wait(run, run.status, found.reason, found.message, now, POLL_REFUSED)

    async def _is_alone(self, run: RestoreRun, now: datetime) -> bool:
        """Whether no earlier resource of this name has anything left to give back."""
        try:
            return await self._wind_down.release_absent(run.owner.key, now, but_for=run.uid)
        except Refused:
            return False

    async def take_lock(self, run: RestoreRun, now: datetime) -> PassResult:
        assert run.target, "it is known since the restore was accepted"
        applicant = Applicant(run.owner, run.target, run.created, known_stopped(run))
        match await self._locks.acquire(applicant, now):
            case None:
                return PassResult(NOW)
            case LockHeld(sentence):
                return await self._wait(run, sentence, now)
            case AtCapacity(requeue_after=requeue_after) | NotNow(requeue_after=requeue_after):
                return PassResult(requeue_after)

    async def _wait(self, run: RestoreRun, message: str, now: datetime) -> PassResult:
        return await self._writer.wait(run, run.status, Reason.WAITING_FOR_TARGET, message, now, POLL_EXTERNAL)
