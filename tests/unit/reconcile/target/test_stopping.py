"""The decisions of an offline run: the next step until its application is down, and what happens if it is up again."""

from typing import Any

import pytest

from quotenode_backup.cluster.objects import Stopped
from quotenode_backup.cluster.workloads import Scale
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.backup.decisions import Seen, next_step
from quotenode_backup.reconcile.backup.steps import BeginAttempt, Step
from quotenode_backup.reconcile.jobs.attempt import Jobs
from quotenode_backup.reconcile.jobs.steps import CreateJob, Fail, Observe, Wait
from quotenode_backup.reconcile.reporting.requeue import SOON
from quotenode_backup.reconcile.target.steps import BeginStop, RememberStopped, ScaleDown, StartApplication
from quotenode_backup.reconcile.target.workloads import Application
from tests.unit.fakes.given import START, attempt, ended_pod, job, pod, run, seconds, status


def scale(name: str, replicas: int) -> Scale:
    return Scale("Deployment", name, f"uid-{name}", "1", replicas, f"app={name}")


def application(*scales: Scale, **changes: Any) -> Application:
    whole: dict[str, Any] = {"missing": (), "autoscaled": (), "live_pods": (), "stopped": None}
    return Application(scales=scales, **(whole | changes))


BACKEND, WORKER = scale("backend", 3), scale("worker", 1)
DOWN = (scale("backend", 0), scale("worker", 0))
STOPPED = Stopped(workloads=application(BACKEND, WORKER).to_record(None), user=1000, serve_by=START + seconds(1800))


def decide(app: Application, known: Any = None, *, at: float = 1, jobs: Any = (), pods: Any = ()) -> Step:
    """The next step of a run that began at START, unless `known` is another status."""
    known = known or status(start_time=START)
    seen = Seen(run(known), True, Jobs(tuple(jobs), tuple(pods)), START + seconds(at), application=app)
    return next_step(seen)


def failed_for(step: Step) -> Reason:
    assert isinstance(step, Fail)
    return step.reason


def test_the_stop_is_announced_then_recorded_then_made_one_by_one_and_the_pods_are_waited_for() -> None:
    up = application(BACKEND, WORKER)
    assert decide(up, status()) == BeginStop("Stopping Deployment backend, Deployment worker", up)
    assert decide(up) == RememberStopped(up)
    assert decide(application(BACKEND, WORKER, stopped=STOPPED)) == ScaleDown(BACKEND)
    assert decide(application(DOWN[0], WORKER, stopped=STOPPED)) == ScaleDown(WORKER)
    ending = application(*DOWN, stopped=STOPPED, live_pods=("backend-1", "worker-0"))
    assert decide(ending) == Observe(Reason.STOPPING_APPLICATION, "Waiting for pod backend-1 to end", SOON)
    assert decide(application(*DOWN, stopped=STOPPED)) == BeginAttempt(1)


def test_a_workload_that_is_missing_may_still_come_for_a_hundred_seconds() -> None:
    lacking = application(BACKEND, missing=("Deployment worker",))
    early = decide(lacking, at=89)
    assert isinstance(early, Observe)
    assert (early.reason, early.requeue_after) == (Reason.WORKLOAD_MISSING, SOON)
    assert failed_for(decide(lacking, at=90)) is Reason.WORKLOAD_MISSING


def test_a_workload_that_is_deleted_after_it_was_stopped_is_not_waited_for() -> None:
    assert decide(application(DOWN[0], missing=("Deployment worker",), stopped=STOPPED), at=200) == BeginAttempt(1)


@pytest.mark.parametrize("app", [application(BACKEND, WORKER), application(BACKEND, WORKER, stopped=STOPPED)])
def test_nothing_is_stopped_any_more_at_the_deadline(app: Application) -> None:
    assert not isinstance(decide(app, at=1739), Fail)
    assert failed_for(decide(app, at=1740)) is Reason.DEADLINE_EXCEEDED


def test_a_pod_that_did_not_end_until_the_deadline_is_named() -> None:
    step = decide(application(*DOWN, stopped=STOPPED, live_pods=("backend-1",)), at=1740)
    assert isinstance(step, Fail)
    assert "pod backend-1 has not ended" in step.message


UP_AGAIN = application(scale("backend", 2), DOWN[1], stopped=STOPPED)


@pytest.mark.parametrize(
    ("jobs", "pods"),
    [([], []), ([job()], []), ([job()], [pod()])],
    ids=["before the Job", "before the pod", "with the pod"],
)
def test_an_application_that_is_up_during_an_attempt_fails_the_run(jobs: Any, pods: Any) -> None:
    step = decide(UP_AGAIN, status(attempt()), jobs=jobs, pods=pods)
    assert isinstance(step, Fail)
    assert step.reason is Reason.WORKLOAD_SCALED_UP
    assert step.message.startswith("Deployment backend was scaled up to 2 ")


def test_an_application_that_is_up_when_the_pod_is_over_has_not_disturbed_it() -> None:
    assert decide(UP_AGAIN, status(attempt()), jobs=[job()], pods=[ended_pod()]) == Wait(SOON)


def test_an_application_that_is_up_between_attempts_fails_the_run_before_the_pause_is_over() -> None:
    known = status(attempt(reason=Reason.IO_ERROR), start_time=START)
    assert failed_for(decide(UP_AGAIN, known, at=1)) is Reason.WORKLOAD_SCALED_UP
    assert decide(application(*DOWN, stopped=STOPPED), known, at=1) == Wait(seconds(4))


def test_while_another_namespace_has_the_lock_the_application_is_started_and_stopped_again_minutes_later() -> None:
    busy = status(attempt(reason=Reason.LOCK_BUSY), start_time=None)
    assert decide(application(*DOWN, stopped=STOPPED), busy) == StartApplication()
    serving = application(BACKEND, WORKER)
    assert decide(serving, busy, at=1) == Wait(seconds(299))
    assert decide(serving, busy, at=300) == BeginStop("Stopping Deployment backend, Deployment worker", serving)


def test_an_application_that_is_down_gets_its_job() -> None:
    assert decide(application(*DOWN, stopped=STOPPED), status(attempt())) == CreateJob(attempt())
