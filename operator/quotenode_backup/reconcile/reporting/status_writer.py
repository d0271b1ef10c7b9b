"""Writes the progress of a run into its status, and says when the next pass is due."""

from datetime import datetime, timedelta
from typing import Generic

from quotenode_backup.cluster.custom_resources import CustomResources
from quotenode_backup.cluster.objects import Resource, Run
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.reporting import conditions
from quotenode_backup.reconcile.reporting.conditions import Status
from quotenode_backup.reconcile.reporting.events import EventRecorder, of_run
from quotenode_backup.reconcile.reporting.requeue import NOW, PassResult


class StatusWriter(Generic[Status]):
    """For the runs of one kind."""

    def __init__(self, resources: CustomResources[Resource, Status], events: EventRecorder) -> None:
        self._resources = resources
        self._events = events

    async def write(
        self, run: Run, status: Status, requeue_after: timedelta = NOW, *, waits: bool = False
    ) -> PassResult:
        await self._resources.write_status(run, status)
        return PassResult(requeue_after, waits)

    async def wait(
        self, run: Run, status: Status, reason: Reason, message: str, now: datetime, requeue_after: timedelta
    ) -> PassResult:
        """The run waits for something outside of it. An Event is recorded only when the reason is a new one.

        `status`: the run's, so far.
        """
        if status.reason != reason:
            await self._events.record(of_run(run, reason, message))
        await self._resources.write_status(run, conditions.waiting(run, status, reason, message, now))
        return PassResult(requeue_after, waits=True)

    async def finish(self, run: Run, status: Status) -> PassResult:
        await self._resources.write_status(run, status)
        return PassResult(NOW, finished=status)
