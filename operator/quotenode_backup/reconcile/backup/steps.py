"""The next step of a run, as a value: `decisions` chooses it, `reconciler` carries it out."""

from dataclasses import dataclass

from quotenode_backup.contract.results import BackupResult
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.jobs.steps import CreateJob, DeleteJob, EndAttempt, Fail, Observe, Wait
from quotenode_backup.reconcile.target.steps import Stopping


@dataclass(frozen=True, slots=True)
class Accept:
    """Check what the API server can't check, and record the run as accepted."""


@dataclass(frozen=True, slots=True)
class TakeLock:
    """Try to take the database's lock."""


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Record the attempt in the status, before its Job exists."""

    number: int


@dataclass(frozen=True, slots=True)
class Complete:
    ended: Ended[BackupResult]


Step = (
    Accept
    | TakeLock
    | Stopping
    | BeginAttempt
    | CreateJob
    | Observe
    | EndAttempt[BackupResult]
    | DeleteJob
    | Wait
    | Complete
    | Fail
)
