"""For how long a run has been kept from going on by a cause that may pass by itself.

Only in memory: a first look, after however long a downtime of the operator, is never the last, and all that an end of this process costs
is that the cause is waited for as long again.
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
        """The resource has met this cause now, and no other since it met it last."""
        known = self._since.get(resource.owner.key)
        if known is None or known[:2] != (resource.owner, reason):
            self._since[resource.owner.key] = (resource.owner, reason, now)

    def exceeded(self, resource: Resource, reason: Reason, now: datetime) -> bool:
        """Whether the resource has met nothing but this cause for long enough."""
        known = self._since.get(resource.owner.key)
        if known is None or known[:2] != (resource.owner, reason):
            return False
        return now - known[2] >= timing.STUCK_AFTER

    def reset(self, key: Key) -> None:
        """The resource goes on, or waits for something else."""
        self._since.pop(key, None)
