"""The row in backup_logs of a run that could not write it itself: by small Jobs, until it is there."""

from collections.abc import Callable
from datetime import datetime, timedelta

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.backup_status import ConditionType
from quotenode_backup.cluster.errors import NameTaken, Refused
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Run
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.followup_job import RECORD, record_job
from quotenode_backup.manifests.pod import Placement, RunnerSettings
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.placement import IMAGE_USER
from quotenode_backup.reconcile.backup.plan import record_plan
from quotenode_backup.reconcile.backup.status import UNRECORDABLE, Finding
from quotenode_backup.reconcile.jobs.followup import Begin, Done, Failed, Pause, next_task
from quotenode_backup.reconcile.reporting.events import Teller
from quotenode_backup.reconcile.reporting.requeue import LOCK_TICK, REFUSED_TICK

RECORDS_TRIED = 12
"""Jobs for one row, over about seven hours."""


class AuditRows:
    def __init__(self, cluster: Cluster, settings: RunnerSettings, tell: Teller, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._tell = tell
        self._clock = clock

    async def write_if_owed(self, run: Run) -> timedelta | None:
        """When to look again; None: when something happens."""
        if not run.status.owes_row or run.spec is None:
            return None
        jobs = await self._cluster.tasks_of(run.namespace, RECORD, run.uid)
        pods = await self._cluster.task_pods_of(run.namespace, RECORD, run.uid)
        match next_task(run.uid, jobs, pods, self._clock(), Result):
            case Begin(number):
                return await self._begin_record(run, run.spec, number)
            case Pause(again, _, _):
                return again
            case Done(_):
                found = Finding(True, Reason.AUDIT_LOGGED, "The run is a row of backup_logs")
                await self._cluster.write_status(run, next_status.recorded(run, found, self._clock()))
            case Failed(number, reason, message, again):
                return await self._unrecorded(run, number, reason, message, again)
        return None

    async def _begin_record(self, run: Run, spec: BackupSpec, number: int) -> timedelta:
        plan = record_plan(run, spec, number, self._clock())
        placement = Placement(user=spec.pod.run_as_user or IMAGE_USER, node=None)
        job = record_job(plan, spec.database, spec.pod, placement, self._settings)
        try:
            await self._cluster.ensure_task(job)
        except (Refused, NameTaken) as exc:
            words = f"The cluster refuses the Job that writes the row in backup_logs, which is tried each minute: {exc}"
            found = Finding(False, Reason.AUDIT_PENDING, words)
            await self._cluster.write_status(run, next_status.recorded(run, found, self._clock()))
            return REFUSED_TICK
        return LOCK_TICK

    async def _unrecorded(
        self, run: Run, number: int, reason: Reason, message: str, again: timedelta
    ) -> timedelta | None:
        # The next backup takes the row of a run that it can't see the end of for a dead one's: a good one is never given up.
        is_worth_it = number < RECORDS_TRIED or run.status.holds(ConditionType.COMPLETE)
        if reason not in UNRECORDABLE and is_worth_it:
            found = Finding(False, Reason.AUDIT_PENDING, f"Tried {number} times, and again later: {message}")
            await self._cluster.write_status(run, next_status.recorded(run, found, self._clock()))
            return again
        final = reason if reason in UNRECORDABLE else Reason.AUDIT_FAILED
        await self._tell(run, final, message, self._clock(), warning=True, about="row")
        await self._cluster.write_status(run, next_status.recorded(run, Finding(False, final, message), self._clock()))
        return None
