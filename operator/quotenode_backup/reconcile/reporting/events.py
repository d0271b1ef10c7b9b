"""Events about resources. Warnings are logged as well, since the API server keeps Events for an hour by default."""

import logging
from collections.abc import Callable
from datetime import datetime

from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.cluster.events import Events
from quotenode_backup.cluster.objects import Run
from quotenode_backup.manifests.event import EventRecord, event

logger = logging.getLogger(__name__)


class EventRecorder:
    def __init__(self, events: Events, reporter: str, clock: Callable[[], datetime]) -> None:
        self._events = events
        self._reporter = reporter
        self._clock = clock

    async def record(self, record: EventRecord) -> None:
        """Post the Event, unless the same occurrence has been posted before.

        An Event that can't be posted is only logged: it must not hold up anything, such as the restart of an
        application.
        """
        owner = record.regarding
        if record.warning:
            where = {"namespace": owner.namespace, "backup": owner.name}
            logger.warning("%s/%s: %s: %s", owner.namespace, owner.name, record.reason, record.message, extra=where)
        try:
            await self._events.post(event(record, self._reporter, self._clock()))
        except ApiError as exc:
            logger.warning("%s/%s: Event %s could not be posted: %s", owner.namespace, owner.name, record.reason, exc)


def of_run(run: Run, reason: str, message: str, *, warning: bool = False, about: str = "") -> EventRecord:
    """An Event about a run. Each attempt of the run can have one with the same reason."""
    attempt = run.status.attempts[-1].number if run.status.attempts else 0
    return EventRecord(run.owner, reason, message, attempt, warning, about)
