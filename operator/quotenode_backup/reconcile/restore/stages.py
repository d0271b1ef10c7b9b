"""How far a restore is, by its status alone. Pure."""

from enum import Enum, auto

from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.api.restore_status import RestoreStatus, Stage
from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.restore_objects import Restore, RestoreRun
from quotenode_backup.contract.restore_results import LoadResult, SwapResult, VerifyResult
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.naming import job_name
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.restore_jobs import HEALTH, LOAD, SWAP, VERIFY


class Goal(Enum):
    """What is to be reached next."""

    VERIFIED = auto()
    LOADED = auto()
    SWAPPED = auto()
    STARTED = auto()
    HEALTHY = auto()
    COMPLETE = auto()


STEPS = {Goal.VERIFIED: VERIFY, Goal.LOADED: LOAD, Goal.SWAPPED: SWAP, Goal.HEALTHY: HEALTH}
"""The steps whose Jobs reach the goals."""
RESULTS: dict[str, type[Result]] = {VERIFY: VerifyResult, LOAD: LoadResult, SWAP: SwapResult, HEALTH: Result}
STAGES = {VERIFY: Stage.VERIFYING, LOAD: Stage.LOADING, SWAP: Stage.SWAPPING, HEALTH: Stage.CHECKING}


def goal(run: RestoreRun) -> Goal:
    status, spec = run.status, run.spec
    is_undo = spec.source.undo_of is not None
    if not is_undo and not status.holds(ConditionType.VERIFIED):
        return Goal.VERIFIED
    if spec.dry_run:
        return Goal.COMPLETE
    if status.point_of_no_return is None:
        return Goal.SWAPPED if is_undo or status.load_seconds is not None else Goal.LOADED
    if status.stopped:
        return Goal.STARTED
    check = spec.application.health_check if spec.application else None
    return Goal.HEALTHY if check and not status.holds(ConditionType.HEALTHY) else Goal.COMPLETE


def step_of(run: Restore, attempt: Attempt) -> str:
    """The step that an attempt is of, by the name of its Job. Empty if only another release knows."""
    return next((step for step in RESULTS if job_name(step, run.uid, attempt.number) == attempt.job_name), "")


def is_swap(run: Restore, attempt: Attempt) -> bool:
    """An attempt of a step that is not known counts as one, since it may be one."""
    return step_of(run, attempt) in (SWAP, "")


def is_undecided(run: Restore) -> bool:
    """Whether nobody can tell, without another look, which data is live. Nothing may be started then."""
    status: RestoreStatus = run.status
    if status.point_of_no_return or not status.attempts:
        return False
    last = status.attempts[-1]
    return is_swap(run, last) and (last.completion_time is None or last.reason == Reason.SWAP_UNDECIDED)


def began_undecided(run: Restore) -> bool:
    """Whether an attempt before the newest one may have changed what is live, so that only another look tells."""
    earlier = run.status.attempts[:-1]
    return bool(earlier) and earlier[-1].reason == Reason.SWAP_UNDECIDED


def must_go_on(run: Restore) -> bool:
    """Whether the restore goes on even while its resource is being deleted: until the application serves from one side."""
    return is_undecided(run) or (run.status.point_of_no_return is not None and run.status.stopped is not None)


def is_past_load(run: Restore) -> bool:
    """Whether the swap has begun or is over, so that what is to be restored is settled."""
    return is_undecided(run) or run.status.point_of_no_return is not None


def has_swapped_before(run: Restore) -> bool:
    """Whether an earlier attempt may have begun to swap what is loaded now. Only the last attempts are known, so a full list is not trusted."""
    ended = [attempt for attempt in run.status.attempts if attempt.completion_time]
    return bool(ended) and is_swap(run, ended[-1])
