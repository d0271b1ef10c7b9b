"""The one thing to do next for a run, as a value: `decisions` chooses it, `run` does it."""

from dataclasses import dataclass
from datetime import timedelta

from quotenode_backup.api.backup_status import Attempt
from quotenode_backup.cluster.objects import Job, Scale
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.reporting.requeue import TICK
from quotenode_backup.reconcile.target.workloads import Application


@dataclass(frozen=True, slots=True)
class Accept:
    """Check what the API server can't, then say so."""


@dataclass(frozen=True, slots=True)
class TakeLock:
    """Try to take the database's lock."""


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Record the attempt, before its Job exists."""

    number: int


@dataclass(frozen=True, slots=True)
class BeginStop:
    """Say that the application is being stopped; the deadline counts from here."""

    message: str
    application: Application


@dataclass(frozen=True, slots=True)
class RememberStopped:
    """Write down what runs, before any of it is stopped."""

    application: Application


@dataclass(frozen=True, slots=True)
class ScaleDown:
    scale: Scale


@dataclass(frozen=True, slots=True)
class StartApplication:
    """Start again what was stopped: the run has to wait."""


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Make the Job of the recorded attempt."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Observe:
    """Say what the attempt's pod does, and look again."""

    reason: Reason
    message: str
    again: timedelta = TICK


@dataclass(frozen=True, slots=True)
class EndAttempt:
    """Record that the attempt is over, and how. Its Job may still have to go."""

    ended: Ended


@dataclass(frozen=True, slots=True)
class DeleteJob:
    job: Job


@dataclass(frozen=True, slots=True)
class Wait:
    again: timedelta = TICK


@dataclass(frozen=True, slots=True)
class Complete:
    ended: Ended


@dataclass(frozen=True, slots=True)
class Fail:
    reason: Reason
    message: str


Stopping = BeginStop | RememberStopped | ScaleDown | StartApplication
Step = (
    Accept | TakeLock | Stopping | BeginAttempt | CreateJob | Observe | EndAttempt | DeleteJob | Wait | Complete | Fail
)
