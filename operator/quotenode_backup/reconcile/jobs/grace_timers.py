"""How long a run has been held up by a cause that may go away by itself.

The timers are only in memory, so they start again with the operator: the first pass after a downtime never fails a
run, and all that a restart costs is another grace period.
"""

from datetime import datetime

from quotenode_backup.cluster.objects import Resource
from quotenode_backup.domain import timing
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.domain.reasons import Reason


class GraceTimers:
    def __init__(self) -> None:
        self._since: dict[Key, tuple[Owner, Reason, datetime]] = {}

    def record(self, resource: Resource, reason: Reason, now: datetime) -> None:
        """The resource is held up by this cause. The timer goes on if the cause was the same before, else it starts."""
        known = self._since.get(resource.owner.key)
        if known is None or known[:2] != (resource.owner, reason):
            self._since[resource.owner.key] = (resource.owner, reason, now)

    def exceeded(self, resource: Resource, reason: Reason, now: datetime) -> bool:
        """Whether this cause alone has held the resource up for the whole grace period."""
        known = self._since.get(resource.owner.key)
        if known is None or known[:2] != (resource.owner, reason):
            return False
        return now - known[2] >= timing.STUCK_AFTER

    def reset(self, key: Key) -> None:
        """The resource is no longer held up, or waits for something that has no time limit."""
        self._since.pop(key, None)
