"""What an attempt's Job and pods are doing, whatever the attempt is for. Pure: `now` comes in."""

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
    """The Jobs and pods of one step of one resource, as they are now."""

    jobs: tuple[Job, ...] = ()
    pods: tuple[Pod, ...] = ()
    warning: str = ""
    """The newest Event that says why the newest Job's pod does not come up; read only while it does not."""

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
    """The attempt was recorded, and its Job is still to be made."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """The Job or a pod is on its way from one state to the next."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Its pod does not run, which may pass."""

    problem: PodProblem
    requeue_after: timedelta


@dataclass(frozen=True, slots=True)
class Running:
    pod: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Long after the deadline there is still a pod that nobody has seen end: its node does not answer."""

    message: str


Assessment = Absent | Unclear | Blocked | Running | Lost | Ended[AnyResult]


def assess(
    owner: Owner, attempt: Attempt, seen: Jobs, deadline: datetime | None, now: datetime, kind: type[AnyResult]
) -> Assessment[AnyResult]:
    """Of an attempt that is not known to be over. `deadline`: of the run; None: it has not begun to count."""
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
    """None: its pod runs."""
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
    """A pod that waited for a node has its time from then on: the node may be new, and its first pull fail."""
    return max([job.created, *(pod.scheduled for pod in live if pod.scheduled)])


def is_overdue(deadline: datetime | None, now: datetime) -> bool:
    """Whether everybody who ends a run at its deadline has had the time to."""
    return deadline is not None and now > deadline + timing.NODE_GRACE


def _never_started(job: Job) -> str:
    return f"The deadline is long over and Job {job.name} has no pod: see kubectl describe job, it may be suspended"


def lost_sentence(pods: Sequence[Pod]) -> str:
    where = ", ".join(f"pod {pod.name} on node {pod.node}" for pod in pods)
    return (
        f"The deadline is long over and {where} has not been seen to end: the node does not answer."
        " The database stays locked until the pod is gone; remove the pod or the node"
    )
