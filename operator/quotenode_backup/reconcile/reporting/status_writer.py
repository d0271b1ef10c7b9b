"""What every step of a run uses: where its pod can be, and the ways to write down what became of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Claim, Run, Stopped
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.pod import Placement
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.placement import Misplaced, place
from quotenode_backup.reconcile.jobs.grace_timers import Patience
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.reporting.events import Teller
from quotenode_backup.reconcile.reporting.requeue import NOW
from quotenode_backup.reconcile.target import workloads as application


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass came to: when to look again (None: when something happens), and how the run ended if it just did."""

    again: timedelta | None
    finished: BackupStatus | None = None


class Desk:
    def __init__(self, cluster: Cluster, tell: Teller) -> None:
        self.cluster = cluster
        self.tell = tell
        self.patience = Patience()

    async def placement(self, run: Run, stopped: Stopped | None = None) -> Placement | Misplaced:
        spec = application.with_known_user(spec_of(run), stopped)
        claims: dict[str, Claim | None] = {
            name: await self.cluster.read_claim(run.namespace, name) for name in sorted(spec.claim_names)
        }
        return place(spec, claims, await self.cluster.mounters_of(run.namespace, spec.claim_names))

    async def write(self, run: Run, status: BackupStatus, again: timedelta = NOW) -> Pass:
        await self.cluster.write_status(run, status)
        return Pass(again)

    async def wait_for(self, run: Run, reason: Reason, message: str, now: datetime, again: timedelta) -> Pass:
        self.patience.renew(run.namespace, run.name)
        if run.status.reason != reason:
            await self.tell(run, reason, message, now, warning=False)
        return await self.write(run, next_status.waiting(run, reason, message, now), again)

    async def end_attempt(self, run: Run, ended: Ended, now: datetime) -> Pass:
        self.patience.renew(run.namespace, run.name)
        await self.tell(run, ended.reason, ended.message, now, warning=ended.reason is not Reason.LOCK_BUSY)
        return await self.write(run, next_status.attempt_ended(run, ended, now))

    async def fail(self, run: Run, reason: Reason, message: str, now: datetime) -> Pass:
        await self.tell(run, reason, message, now, warning=True)
        return await self.finish(run, next_status.failed(run, reason, message, now))

    async def finish(self, run: Run, status: BackupStatus) -> Pass:
        self.patience.renew(run.namespace, run.name)
        await self.cluster.write_status(run, status)
        return Pass(NOW, finished=status)


def spec_of(run: Run) -> BackupSpec:
    if run.spec is None:
        raise ValueError("decisions give a run without a valid spec nothing to do")
    return run.spec
