"""The next step of a restore, as a value: `decisions` chooses it, `reconciler` carries it out."""

from dataclasses import dataclass

from quotenode_backup.contract.restore_results import LoadResult, SwapResult, VerifyResult
from quotenode_backup.contract.results import Result
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.jobs.steps import CreateJob, DeleteJob, EndAttempt, Fail, Observe, Wait
from quotenode_backup.reconcile.target.steps import Stopping


@dataclass(frozen=True, slots=True)
class Accept:
    """Check the author, look up what is to be restored and where to, and record that."""


@dataclass(frozen=True, slots=True)
class TakeLock:
    """Try to take the database's lock."""


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Record the attempt in the status, before its Job exists. Numbers go on through all steps, so that the runner of a later attempt always wins."""

    step: str
    number: int


@dataclass(frozen=True, slots=True)
class BeginSwap:
    """Record the attempt in the status and create its Job, in one pass.

    A Job that is absent in a later pass may have existed, and may have swapped. So no pass creates it a second time.
    """

    number: int


@dataclass(frozen=True, slots=True)
class TakeVerified:
    ended: Ended[VerifyResult]


@dataclass(frozen=True, slots=True)
class TakeLoaded:
    ended: Ended[LoadResult]


@dataclass(frozen=True, slots=True)
class TakeSwapped:
    """What was loaded is live: this is the point of no return."""

    ended: Ended[SwapResult]


@dataclass(frozen=True, slots=True)
class TakeHealthy:
    ended: Ended[Result]


@dataclass(frozen=True, slots=True)
class KeepResource:
    """Set the finalizer, so that a deletion of the resource waits until its swap is over and what it has left is removed."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the application on the new data."""


@dataclass(frozen=True, slots=True)
class Complete:
    """All that was asked for is done."""


Step = (
    Accept
    | TakeLock
    | Stopping
    | BeginAttempt
    | BeginSwap
    | CreateJob
    | Observe
    | EndAttempt[Result]
    | DeleteJob
    | Wait
    | TakeVerified
    | TakeLoaded
    | TakeSwapped
    | TakeHealthy
    | KeepResource
    | Start
    | Complete
    | Fail
)
