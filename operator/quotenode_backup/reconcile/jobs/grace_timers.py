"""How long a run may be kept from going on by a cause that may pass by itself.

Only in memory: a first look, after however long a downtime of the operator, is never the last, and all that an end of this process costs
is that it is waited for as long again.
"""

from datetime import datetime

from quotenode_backup.cluster.objects import Run
from quotenode_backup.domain import timing
from quotenode_backup.domain.reasons import Reason


class Patience:
    def __init__(self) -> None:
        self._since: dict[tuple[str, str], tuple[str, Reason, datetime]] = {}

    def is_over(self, run: Run, reason: Reason, now: datetime) -> bool:
        """Whether this run has met nothing but this cause for long enough."""
        key, since = (run.namespace, run.name), now
        known = self._since.get(key)
        if known and known[:2] == (run.uid, reason):
            since = known[2]
        self._since[key] = (run.uid, reason, since)
        return now - since >= timing.STUCK_AFTER

    def renew(self, namespace: str, name: str) -> None:
        """It goes on, or waits for something else."""
        self._since.pop((namespace, name), None)
