"""When a resource is looked at again, if no event comes before."""

from dataclasses import dataclass
from datetime import timedelta

from quotenode_backup.api.run_status import RunStatus

NOW = timedelta(0)
SOON = timedelta(seconds=1)
POLL_EXTERNAL = timedelta(seconds=2)
"""For what another resource, or something outside the operator, has to end first: no event tells of it."""
POLL = timedelta(seconds=10)
"""How often an unfinished run is looked at when nothing happens: events of its Jobs and pods come at once."""
POLL_REFUSED = timedelta(minutes=1)
"""For what somebody has to allow first."""


@dataclass(frozen=True, slots=True)
class PassResult:
    requeue_after: timedelta | None
    """None: when something happens."""
    finished: RunStatus | None = None
    """How the run ended, if it did in this pass."""
