"""What any resource that runs Jobs can do next, as values."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic

from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.objects import Job
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.outcome import AnyResult, Ended
from quotenode_backup.reconcile.reporting.requeue import POLL


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Make the Job of the recorded attempt."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Observe:
    """Write down what the run is doing, and look again."""

    reason: Reason
    message: str
    requeue_after: timedelta = POLL
    obstacle: str = ""
    """What keeps the attempt's pod from running."""


@dataclass(frozen=True, slots=True)
class EndAttempt(Generic[AnyResult]):
    """Record that the attempt is over, and how. Its Job may still have to go."""

    ended: Ended[AnyResult]


@dataclass(frozen=True, slots=True)
class DeleteJob:
    job: Job


@dataclass(frozen=True, slots=True)
class Wait:
    requeue_after: timedelta = POLL


@dataclass(frozen=True, slots=True)
class Fail:
    reason: Reason
    message: str
