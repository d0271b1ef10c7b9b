"""The row in backup_logs of a run whose own Job could not write it: small Jobs try until the row is written."""

from datetime import timedelta

from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.cluster.errors import NameTaken, Refused
from quotenode_backup.cluster.objects import Backup, BackupRun
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.followup_job import RECORD, record_job
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.plan import record_plan
from quotenode_backup.reconcile.backup.status import UNRECORDABLE
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.followup import Begin, Done, Failed, Followup, Pause
from quotenode_backup.reconcile.jobs.placement import IMAGE_USER
from quotenode_backup.reconcile.reporting.conditions import Finding
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import POLL_EXTERNAL, POLL_REFUSED

RECORDS_TRIED = 12
"""How many Jobs try to write the row of a failed run, over about seven hours."""


class AuditRows:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._followup = Followup(context, RECORD, Result)

    async def write_if_owed(self, run: Backup) -> timedelta | None:
        """How long until the next pass; None: not before a watch event."""
        if not run.status.owes_row or not isinstance(run, BackupRun):
            return None
        match await self._followup.next(run.owner):
            case Begin(number):
                return await self._begin(run, number)
            case Pause(requeue_after):
                return requeue_after
            case Done():
                await self._record(run, Finding(True, Reason.AUDIT_LOGGED, "The run has its row in backup_logs"))
            case Failed(number, reason, message, requeue_after):
                return await self._not_recorded(run, number, reason, message, requeue_after)
        return None

    async def _begin(self, run: BackupRun, number: int) -> timedelta:
        plan = record_plan(run, number, self._context.clock())
        placement = Placement(user=run.spec.pod.run_as_user or IMAGE_USER, node=None)
        try:
            await self._context.cluster.jobs.ensure(
                record_job(plan, run.spec.database, run.spec.pod, placement, self._context.settings)
            )
        except (Refused, NameTaken) as exc:
            message = f"The cluster refuses the Job that writes the row in backup_logs (tried every minute): {exc}"
            await self._record(run, Finding(None, Reason.AUDIT_PENDING, message))
            return POLL_REFUSED
        return POLL_EXTERNAL

    async def _not_recorded(
        self, run: BackupRun, number: int, reason: Reason, message: str, requeue_after: timedelta
    ) -> timedelta | None:
        # The next backup takes a row without an end for that of a dead run, so a completed run never gives up its row.
        is_worth_it = number < RECORDS_TRIED or run.status.holds(ConditionType.COMPLETE)
        if reason not in UNRECORDABLE and is_worth_it:
            found = Finding(None, Reason.AUDIT_PENDING, f"Tried {number} times, and tried again later: {message}")
            await self._record(run, found)
            return requeue_after
        final = reason if reason in UNRECORDABLE else Reason.AUDIT_FAILED
        await self._context.events.record(of_run(run, final, message, warning=True, about="row"))
        await self._record(run, Finding(False, final, message))
        return None

    async def _record(self, run: BackupRun, found: Finding) -> None:
        await self._context.cluster.backups.write_status(run, next_status.recorded(run, found, self._context.clock()))
