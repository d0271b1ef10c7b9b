"""How long until a resource is reconciled again, if no watch event comes first."""

from dataclasses import dataclass
from datetime import timedelta

from quotenode_backup.api.run_status import RunStatus

NOW = timedelta(0)
SOON = timedelta(seconds=1)
POLL_EXTERNAL = timedelta(seconds=2)
"""While a resource waits for another one, or for something outside the operator, that causes no watch event for it."""
POLL = timedelta(seconds=10)
"""While a Job is at work. Changes of Jobs and pods come as watch events at once, so this is only a fallback."""
POLL_REFUSED = timedelta(minutes=1)
"""While the cluster refuses something that somebody has to allow first."""


@dataclass(frozen=True, slots=True)
class PassResult:
    requeue_after: timedelta | None
    """None: not before a watch event or the resync asks for it."""
    waits: bool = False
    """Whether the resource only waits for others, so that those with something to do come first."""
    finished: RunStatus | None = None
    """The final status of the run, if the run ended in this pass."""
