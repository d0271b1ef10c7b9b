"""The next steps, as values, of any resource that runs Jobs."""

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
    """Create the Job of the attempt that is recorded in the status."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Observe:
    """Write into the status what the run is doing."""

    reason: Reason
    message: str
    requeue_after: timedelta = POLL
    obstacle: str = ""
    """What keeps the attempt's pod from running; empty when nothing does."""


@dataclass(frozen=True, slots=True)
class EndAttempt(Generic[AnyResult]):
    """Record in the status how the attempt ended. Its Job may still exist."""

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
