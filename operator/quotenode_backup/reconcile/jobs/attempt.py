"""What the Job and the pods of an attempt are doing, for any kind of resource. Pure: `now` is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.run_status import Attempt
from quotenode_backup.cluster.objects import Job, Pod
from quotenode_backup.domain import timing
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.outcome import AnyResult, Ended, outcome
from quotenode_backup.reconcile.jobs.pod_problems import PodProblem, with_pod, without_pod
from quotenode_backup.reconcile.reporting.requeue import POLL, SOON


@dataclass(frozen=True, slots=True)
class Jobs:
    """The Jobs and pods of one step of one resource at one moment."""

    jobs: tuple[Job, ...] = ()
    pods: tuple[Pod, ...] = ()
    warning: str = ""
    """Message of the newest Event about why the newest Job's pod does not start; empty once the pod has started."""

    def named(self, name: str) -> Job | None:
        return next((job for job in self.jobs if job.name == name), None)

    def pods_of(self, name: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.job_name == name]

    @property
    def live_pods(self) -> list[Pod]:
        return [pod for pod in self.pods if not pod.is_over]

    @property
    def unfinished(self) -> list[Job]:
        return [job for job in self.jobs if not job.is_finished]


@dataclass(frozen=True, slots=True)
class Absent:
    """The attempt is recorded in the status, and its Job does not exist."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """The Job or a pod is between two states, and a later pass will see which one it ends in."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The attempt's pod does not run yet, and it still has time to."""

    problem: PodProblem
    requeue_after: timedelta


@dataclass(frozen=True, slots=True)
class Running:
    pod: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The deadline passed long ago and a pod still has not been seen to end, so its node does not answer."""

    message: str


Assessment = Absent | Unclear | Blocked | Running | Lost | Ended[AnyResult]


def assess(
    owner: Owner, attempt: Attempt, seen: Jobs, deadline: datetime | None, now: datetime, kind: type[AnyResult]
) -> Assessment[AnyResult]:
    """For an attempt whose end is not in the status yet.

    `deadline`: the run's; None: the run has no deadline yet. `kind`: the class of the result.
    """
    job, pods = seen.named(attempt.job_name), seen.pods_of(attempt.job_name)
    live = [pod for pod in pods if not pod.is_over]
    if job is None:
        return Unclear() if live else Absent()
    if job.is_finished and not live:
        return outcome(owner, attempt, job, seen.pods, kind)
    if is_overdue(deadline, now):
        if seen.live_pods:
            return Lost(lost_sentence(live))
        if not pods:
            return Ended(Reason.DEADLINE_EXCEEDED, _never_started(job))
    if job.is_finished or job.deleting or (pods and not live):
        return Unclear()
    return _coming_up(job, live, seen.warning, now) or Running(live[0].name)


def _coming_up(
    job: Job, live: Sequence[Pod], warning: str, now: datetime
) -> Blocked | Unclear | Ended[AnyResult] | None:
    """The state of an attempt whose pod does not run yet; None when the pod runs."""
    problem = with_pod(live[0], warning) if live else without_pod(warning)
    if problem is None:
        return None
    if problem.transient:
        return Unclear() if now - job.created < timing.QUIET_PERIOD else Blocked(problem, POLL)
    left = timing.STUCK_AFTER - (now - _coming_up_since(job, live))
    if left <= timedelta(0):
        return Ended(problem.reason, problem.message)
    return Blocked(problem, max(SOON, min(POLL, left)))


def _coming_up_since(job: Job, live: Sequence[Pod]) -> datetime:
    """A pod that had to wait for a node is timed from when it got one: the first image pull on a new node may fail."""
    return max([job.created, *(pod.scheduled for pod in live if pod.scheduled)])


def is_overdue(deadline: datetime | None, now: datetime) -> bool:
    """Whether the runner and the Job controller, which both end a run at its deadline, must have done so by now."""
    return deadline is not None and now > deadline + timing.NODE_GRACE


def _never_started(job: Job) -> str:
    return f"The deadline passed long ago and Job {job.name} has no pod. It may be suspended: see kubectl describe job"


def lost_sentence(pods: Sequence[Pod]) -> str:
    where = ", ".join(f"pod {pod.name} on node {pod.node}" for pod in pods)
    return (
        f"The deadline passed long ago and {where} has not been seen to end: the node does not answer."
        " The database stays locked until the pod is gone: delete the pod or the node"
    )
