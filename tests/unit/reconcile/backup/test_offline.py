"""Offline runs in a cluster in memory: the application is down during each attempt, and serves again after every end."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from quotenode_backup.cluster.errors import ApiError, Refused, Unavailable
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.controller.resync import Found, collect
from quotenode_backup.domain.owner import Key
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from quotenode_backup.reconcile.schedule.snapshot import ServeBy
from tests.unit.fakes.lives import (
    GOES_WELL,
    assert_settled,
    ends_with,
    event_reasons,
    finished,
    killed_everywhere,
    one_round,
    reconciler,
    rounds,
    rounds_until,
    to_rest,
)
from tests.unit.fakes.world import AUTOSCALERS, JOBS, LEASES, PODS, RUNS, Client, Json, Script, World

APPLICATION = {"workloads": [{"kind": "Deployment", "name": "backend"}, {"kind": "Deployment", "name": "worker"}]}


def offline_world(script: Script = GOES_WELL, **spec: Any) -> World:
    world = World(script)
    world.put("/api/v1/namespaces/shop/persistentvolumeclaims", "files", {"spec": {"accessModes": ["ReadWriteOnce"]}})
    world.deploy("backend", 3)
    world.deploy("worker", 1)
    files = [{"name": "uploads", "claimName": "files"}]
    world.apply("night", mode="Offline", application=APPLICATION, files=files, **spec)
    return world


def assert_serves(world: World) -> None:
    assert_settled(world)
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)
    assert all(labels.STOPPED not in lease["metadata"]["annotations"] for lease in world.in_(LEASES))


def until_a_job_runs(world: World) -> Client:
    client = Client(world)
    rounds_until(client, lambda: bool(world.in_(JOBS)))
    return client


def jobs_of(world: World, label: str, value: str) -> list[Json]:
    return [job for job in world.in_(JOBS) if job["metadata"]["labels"].get(label) == value]


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        (ends_with(Reason.COMPLETED), "Completed"),
        (ends_with(Reason.CREDENTIALS_REFUSED), "Failed"),
        (ends_with(Reason.SOURCE_UNREACHABLE), "Failed"),
        (ends_with(Reason.DEADLINE_EXCEEDED), "Failed"),
        (ends_with(Reason.SOURCE_UNREACHABLE, Reason.COMPLETED), "Completed"),
    ],
)
def test_the_application_is_down_during_each_attempt_and_serves_afterwards(script: Script, phase: str) -> None:
    world = offline_world(script)
    to_rest(world)
    assert world.status("night")["phase"] == phase
    assert set(world.served_during_dump) == {0}
    assert_serves(world)
    assert event_reasons(world).count("ApplicationStarted") == 1


def test_the_pod_runs_as_the_applications_user() -> None:
    world = offline_world()
    until_a_job_runs(world)
    [job] = world.in_(JOBS)
    assert job["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 1000


def test_while_the_application_is_down_a_resync_reads_when_it_must_serve_again() -> None:
    world = offline_world()
    client = until_a_job_runs(world)
    [(database, serve_by)] = seen_stopped(client).items()
    [lease] = world.in_(LEASES)
    assert database == ("shop", lease["metadata"]["annotations"][labels.TARGET])
    assert serve_by == datetime.fromisoformat(world.status("night")["startTime"]) + timedelta(seconds=1800)
    to_rest(world, client)
    assert seen_stopped(client) == {}


def seen_stopped(client: Client) -> ServeBy:
    found = Found()
    finished(collect(Cluster(client), "shop", found))
    return found.serve_by


def test_while_another_namespace_has_the_lock_the_application_serves() -> None:
    world = offline_world(ends_with(Reason.LOCK_BUSY, Reason.COMPLETED))
    client = until_a_job_runs(world)
    rounds_until(client, lambda: world.status("night")["reason"] == "WaitingForTarget")
    finished(one_round(client))
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert set(world.served_during_dump) == {0}
    assert_serves(world)


@pytest.mark.parametrize("at", range(14))
def test_when_the_run_is_deleted_at_any_moment_the_application_serves_again(at: int) -> None:
    world = offline_world()
    client = Client(world)
    rounds(client, at)
    world.delete("night")
    to_rest(world, client)
    assert_serves(world)


def test_when_the_run_is_created_again_for_another_database_the_application_serves_again() -> None:
    world = offline_world()
    client = until_a_job_runs(world)
    world.delete("night")
    other = {"host": "other", "port": 5432, "name": "shop", "credentialsSecretRef": {"name": "login"}}
    world.apply("night", database=other)
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert_serves(world)


def test_an_application_that_somebody_scales_up_fails_the_offline_backup() -> None:
    world = offline_world()
    client = until_a_job_runs(world)
    world.scale("backend", 2)
    to_rest(world, client)
    status = world.status("night")
    assert (status["phase"], status["reason"]) == ("Failed", "WorkloadScaledUp")
    assert status["message"].startswith("Deployment backend was scaled up to 2 during")
    assert (world.replicas("backend"), world.replicas("worker")) == (2, 1)
    assert_settled(world)


def until_stopped(world: World) -> Client:
    """Everything has been scaled down, and no time has passed, so the pods still exist."""
    client = Client(world)
    while world.replicas("backend") or world.replicas("worker"):
        finished(one_round(client))
    return client


def test_an_application_that_is_scaled_up_just_before_the_end_fails_it_too() -> None:
    def heals(plan: BackupPlan) -> Reason:
        world.scale("backend", 2)
        return Reason.COMPLETED

    world = offline_world(heals)
    to_rest(world)
    assert world.status("night")["reason"] == "WorkloadScaledUp"
    assert world.replicas("worker") == 1
    assert_settled(world)


def test_events_that_cannot_be_posted_hold_nothing_up() -> None:
    def refuse(moment: str, request: str) -> None:
        if moment == "before" and "/events" in request:
            raise Refused("no room for events (403)")

    world = offline_world()
    client = Client(world, refuse)
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)
    assert event_reasons(world) == []


@pytest.mark.parametrize("held_up", ["backend", "worker"])
def test_a_delayed_pass_that_stops_something_after_the_runs_deletion_starts_it_again(held_up: str) -> None:
    """Before the scale-down the run is deleted, and another operator starts again everything that it knows of."""

    def delete_meanwhile(moment: str, request: str) -> None:
        if moment == "before" and request.endswith(f"{held_up}/scale") and f"{RUNS}/night" in world.objects:
            world.delete("night")
            to_rest(world)

    world = offline_world()
    to_rest(world, Client(world, delete_meanwhile))
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)


@pytest.mark.parametrize("moment", ["during", "after"])
def test_when_the_lease_is_deleted_the_application_serves_again(moment: str) -> None:
    """The run's status records what was stopped too."""
    world = offline_world()
    client = until_a_job_runs(world)
    if moment == "after":
        rounds_until(client, lambda: stuck(world))
    [lease] = [path for path in world.objects if path.startswith(LEASES)]
    del world.objects[lease]
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert_serves(world)


@pytest.mark.parametrize("damage", [None, "not JSON"], ids=["removed", "unreadable"])
@pytest.mark.parametrize("down", [1, 2])
def test_when_the_lease_loses_its_record_the_application_serves_again(down: int, damage: str | None) -> None:
    """Somebody edits the Lease when one workload, or both, are down already and pods are still ending."""
    world = offline_world()
    client = Client(world)
    passes_until(client, "night", lambda: [world.replicas("backend"), world.replicas("worker")].count(0) == down)
    [lease] = world.in_(LEASES)
    if damage is None:
        del lease["metadata"]["annotations"][labels.STOPPED]
    else:
        lease["metadata"]["annotations"][labels.STOPPED] = damage
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert_serves(world)


def test_the_status_says_what_is_stopped_until_it_serves_again() -> None:
    world = offline_world()
    client = until_a_job_runs(world)
    assert [(one["name"], one["replicas"]) for one in world.status("night")["stopped"]["workloads"]] == [
        ("backend", 3),
        ("worker", 1),
    ]
    to_rest(world, client)
    assert not world.status("night").get("stopped")


def test_a_bundle_is_removed_by_the_user_who_was_writing_it() -> None:
    world = offline_world(ends_with(Reason.DUMP_FAILED), deletionPolicy="Delete")
    client = until_a_job_runs(world)
    world.delete("night")
    rounds_until(client, lambda: bool(jobs_of(world, labels.STEP, "remove")))
    removal = jobs_of(world, labels.STEP, "remove")[0]
    assert removal["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 1000
    to_rest(world, client)


def passes_until(client: Client, name: str, is_reached: Callable[[], bool]) -> None:
    """Passes over one run alone, at one moment, until the world is in the state that a test starts from."""
    while not is_reached():
        one_pass(client, name)


def until_completed_and_serving(client: Client) -> None:
    world = client.world
    while not (world.status("night")["phase"] == "Completed" and world.replicas("backend") == 3):
        one_pass(client, "night")
        world.tick()


def one_pass(client: Client, name: str) -> None:
    with suppress(ApiError):
        finished(reconciler(client.world, client).reconcile(Key("QuoteNodeBackup", "shop", name)))
    client.world.tick()


def lose_the_lease(world: World) -> None:
    for path in [path for path in world.objects if path.startswith(LEASES)]:
        del world.objects[path]


def test_a_run_whose_restart_was_refused_does_not_disturb_the_next_offline_run() -> None:
    world = offline_world()
    refused = True
    client = Client(world, refusing(lambda: stuck(world) and refused))
    passes_until(client, "night", lambda: stuck(world))
    world.apply("second", mode="Offline", application=APPLICATION, pod={"runAsUser": 1000})
    for _ in range(10):
        one_pass(client, "night")
        one_pass(client, "second")
    refused = False
    passes_until(client, "second", lambda: bool(jobs_of(world, labels.RUN_NAME, "second")))
    one_pass(client, "night")
    to_rest(world, client)
    assert world.status("second")["phase"] == "Completed"
    assert set(world.served_during_dump) == {0}
    assert_serves(world)


def test_a_run_that_waits_for_its_removal_starts_the_application_once() -> None:
    world = offline_world(ends_with(Reason.DUMP_FAILED), deletionPolicy="Delete")
    client = until_a_job_runs(world)
    world.delete("night")
    passes_until(client, "night", lambda: bool(jobs_of(world, labels.STEP, "remove")))
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)
    world.scale("backend", 0)
    to_rest(world, client)
    assert world.replicas("backend") == 0


def test_when_the_lease_is_deleted_and_the_spec_unreadable_the_application_serves_again() -> None:
    world = offline_world()
    client = until_a_job_runs(world)
    world.objects[f"{RUNS}/night"]["spec"]["encryption"] = {"gpg": {}}
    lose_the_lease(world)
    to_rest(world, client)
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)


def test_when_the_lease_is_deleted_during_a_long_wait_for_the_lock_the_application_serves_again() -> None:
    world = offline_world(ends_with(Reason.LOCK_BUSY, Reason.COMPLETED))
    client = until_a_job_runs(world)
    passes_until(client, "night", lambda: world.status("night")["reason"] == "WaitingForTarget")
    world.now += timedelta(minutes=6)
    for _ in range(6):
        one_pass(client, "night")
    lose_the_lease(world)
    to_rest(world, client)
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)


def without_worker() -> tuple[World, Client]:
    """A run that waits for a workload which is not there yet."""
    world = offline_world()
    del world.objects["/apis/apps/v1/namespaces/shop/deployments/worker/scale"]
    client = Client(world)
    passes_until(client, "night", lambda: world.status("night").get("reason") == "WorkloadMissing")
    return world, client


def test_what_somebody_scaled_down_before_anything_was_stopped_stays_down() -> None:
    world, client = without_worker()
    world.scale("backend", 0)
    to_rest(world, client)
    assert (world.replicas("backend"), event_reasons(world).count("ApplicationStarted")) == (0, 0)


def test_a_workload_that_came_late_serves_again_though_the_lease_is_gone() -> None:
    world, client = without_worker()
    world.deploy("worker", 1)
    passes_until(client, "night", lambda: bool(world.in_(JOBS)))
    lose_the_lease(world)
    to_rest(world, client)
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)


def test_a_pod_that_succeeded_while_nobody_looked_completes_the_run_long_after_the_deadline() -> None:
    world = offline_world()
    client = until_a_job_runs(world)
    while not world.committed:
        world.tick()
    world.now += timedelta(seconds=1800 + 301)
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"


def test_a_workload_that_is_created_again_while_it_is_being_stopped_is_left_up() -> None:
    world = offline_world()
    client = until_stopped(world)
    del world.objects["/apis/apps/v1/namespaces/shop/deployments/backend/scale"]
    world.deploy("backend", 3)
    to_rest(world, client)
    assert world.status("night")["reason"] == "WorkloadScaledUp"
    assert_serves(world)


def test_a_workload_that_is_scaled_up_while_others_are_being_stopped_is_left_up() -> None:
    world = offline_world()
    world.scale("backend", 0)
    client = until_stopped(world)
    world.scale("backend", 4)
    to_rest(world, client)
    assert world.status("night")["reason"] == "WorkloadScaledUp"
    assert (world.replicas("backend"), world.replicas("worker")) == (4, 1)


OF_A_SCHEDULE = {"schedule": "0 0 2 * * *", "suspend": True}


@pytest.mark.parametrize(
    "successor",
    [OF_A_SCHEDULE, OF_A_SCHEDULE | {"encryption": {"gpg": {}}}, {"encryption": {"gpg": {}}}],
    ids=["a schedule", "an unreadable schedule", "an unreadable run"],
)
def test_whatever_gets_the_name_of_a_run_that_was_deleted_the_application_serves_again(successor: Json) -> None:
    """Nobody was there when the run was deleted, and when the name was given to something else."""
    world = offline_world()
    client = until_stopped(world)
    world.delete("night")
    world.apply("night", **successor)
    rounds(client)
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)
    assert [lease["spec"]["holderIdentity"] for lease in world.in_(LEASES)] == [""]


def test_a_run_that_is_not_admitted_yet_keeps_no_application_down_that_its_predecessor_stopped() -> None:
    world = offline_world()
    until_stopped(world)
    world.delete("night")
    world.apply("night")
    rounds(Client(world, policy="a-policy-that-is-not-there"))
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)


def test_a_run_that_waits_for_pods_that_a_lost_run_stopped_starts_them() -> None:
    """An older operator let a schedule take the name of such a run, so that no pass is made over it any more."""
    world = offline_world()
    client = until_stopped(world)
    world.delete("night")
    world.apply("night", **OF_A_SCHEDULE)
    accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 1}
    world.change(f"{RUNS}/night", status={"conditions": [accepted | {"lastTransitionTime": world.now.isoformat()}]})
    world.tick()
    world.apply("extra", files=[{"name": "uploads", "claimName": "files"}])
    rounds(client, 20)
    assert world.status("extra")["phase"] == "Completed"
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)


def test_two_databases_with_one_application_leave_the_application_up() -> None:
    world = offline_world()
    client = until_stopped(world)
    files = [{"name": "uploads", "claimName": "files"}]
    other = {"host": "other", "port": 5432, "name": "shop", "credentialsSecretRef": {"name": "login"}}
    world.apply("second", mode="Offline", application=APPLICATION, files=files, database=other)
    for _ in range(4):
        finished(one_round(client))
    world.delete("night")
    to_rest(world, client)
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 1)


@pytest.mark.parametrize("database", ["shop", "another"])
def test_a_backup_made_while_it_is_down_waits_until_its_pods_show_who_can_read_the_files(database: str) -> None:
    world = offline_world()
    client = until_a_job_runs(world)
    assert world.application_pods() == 0
    files = [{"name": "uploads", "claimName": "files"}]
    login = {"name": "login"}
    world.apply(
        "extra", files=files, database={"host": "db", "port": 5432, "name": database, "credentialsSecretRef": login}
    )
    for _ in range(5):
        finished(one_round(client))
        assert world.status("extra")["reason"] == "WaitingForTarget"
        assert "night" in world.status("extra")["message"]
        world.now += timedelta(seconds=30)
    to_rest(world, client)
    assert world.status("extra")["phase"] == "Completed"


def hide_the_application(world: World) -> None:
    """Remove the pods, as while they are just restarting."""
    for path in [path for path, body in world.objects.items() if path.startswith(PODS) and _is_of_application(body)]:
        del world.objects[path]


def _is_of_application(body: dict[str, Any]) -> bool:
    return "app" in body["metadata"].get("labels", {})


def test_a_run_that_waited_for_an_offline_backup_gets_its_whole_grace_period_again() -> None:
    world = offline_world(pod={"runAsUser": 1000})
    hide_the_application(world)
    files = [{"name": "uploads", "claimName": "files"}]
    other = {"host": "db", "port": 5432, "name": "another", "credentialsSecretRef": {"name": "login"}}
    world.apply("extra", files=files, database=other)
    client = Client(world)
    one_pass(client, "extra")
    assert world.status("extra")["reason"] == "RunAsUserNeeded"
    while not world.in_(JOBS):
        one_pass(client, "night")
        world.tick()
    for _ in range(8):
        one_pass(client, "extra")
        assert world.status("extra")["reason"] == "WaitingForTarget"
        world.now += timedelta(seconds=30)
    until_completed_and_serving(client)
    hide_the_application(world)
    one_pass(client, "extra")
    one_pass(client, "extra")
    assert world.status("extra")["phase"] == "Pending"


def test_the_first_pass_after_a_downtime_never_fails_a_run_for_a_passing_cause() -> None:
    world = offline_world()
    files = [{"name": "uploads", "claimName": "files"}]
    other = {"host": "db", "port": 5432, "name": "another", "credentialsSecretRef": {"name": "login"}}
    world.apply("online", files=files, database=other)
    client = Client(world)
    passes_until(client, "online", lambda: bool(world.status("online").get("attempts")))
    world.now += timedelta(seconds=120)
    client = Client(world)

    def without_pods_for(rounds: int) -> None:
        for _ in range(rounds):
            hide_the_application(world)
            one_pass(client, "online")

    without_pods_for(9)
    assert world.status("online")["phase"] == "Running"
    without_pods_for(3)
    assert (world.status("online")["phase"], world.status("online")["reason"]) == ("Failed", "RunAsUserNeeded")


def refusing(when: Callable[[], bool], answer: ApiError | None = None) -> Callable[[str, str], None]:
    """Refuses every scaling while `in_force` holds."""

    def refuse(moment: str, request: str) -> None:
        if moment == "before" and request.endswith("/scale") and when():
            raise answer or Refused("no scaling today (403)")

    return refuse


def test_a_refused_scale_down_fails_the_run_and_the_application_serves() -> None:
    world = offline_world()
    to_rest(
        world,
        Client(
            world,
            refusing(lambda: world.replicas("backend") == 0 and world.replicas("worker") == 1 and not stuck(world)),
        ),
    )
    assert world.status("night")["reason"] == "WorkloadNotScaled"
    assert world.status("night")["message"].startswith(
        "The cluster refuses to stop Deployment worker: no scaling today"
    )
    assert_serves(world)


def stuck(world: World) -> bool:
    return bool(world.status("night").get("completionTime"))


@pytest.mark.parametrize("answer", [Refused("no scaling today (403)"), Unavailable("failed calling webhook (500)")])
def test_a_refused_scale_up_is_reported_and_retried_until_it_is_allowed(answer: ApiError) -> None:
    world = offline_world()
    until = world.now + timedelta(hours=2)
    to_rest(world, Client(world, refusing(lambda: stuck(world) and world.now < until, answer)))
    assert world.status("night")["phase"] == "Completed"
    assert "WorkloadNotScaled" in event_reasons(world)
    assert_serves(world)


def test_a_run_that_has_to_wait_and_may_not_start_the_application_again_says_so() -> None:
    world = offline_world(ends_with(Reason.LOCK_BUSY, Reason.COMPLETED))
    until = world.now + timedelta(minutes=10)
    client = Client(world, refusing(lambda: bool(world.status("night").get("attempts")) and world.now < until))
    rounds(client, 50)
    assert "WorkloadNotScaled" in event_reasons(world)
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert_serves(world)


def test_a_run_created_again_while_the_application_may_not_be_started_says_what_it_waits_for() -> None:
    world = offline_world()
    until_a_job_runs(world)
    world.delete("night")
    world.apply("night", files=[], pod={"runAsUser": 1000})
    until = world.now + timedelta(hours=1)
    client = Client(world, refusing(lambda: world.now < until))
    rounds(client, 30)
    assert world.status("night")["reason"] == "WaitingForTarget"
    assert "(no scaling today (403)). Allow it" in world.status("night")["message"]
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert_serves(world)


def test_a_webhook_that_is_away_is_named_while_the_job_cannot_be_made_and_at_the_deadline() -> None:
    world = offline_world()

    def away(moment: str, request: str) -> None:
        if moment == "before" and request == f"POST {JOBS}":
            raise Unavailable("failed calling webhook validate.example (500)")

    client = Client(world, away)
    rounds(client, 20)
    assert world.status("night")["phase"] == "Running"
    assert "failed calling webhook validate.example" in world.status("night")["message"]
    with pytest.raises(Unavailable):  # it is reported only once, and from then on the queue backs off
        finished(reconciler(world, client).reconcile(Key("QuoteNodeBackup", "shop", "night")))
    to_rest(world, client)
    assert world.status("night")["reason"] == "DeadlineExceeded"
    assert "failed calling webhook validate.example" in world.status("night")["message"]
    assert_serves(world)


def test_refused_once_after_a_webhook_was_away_a_job_is_tried_again() -> None:
    world = offline_world()
    answers: list[ApiError] = [Unavailable("failed calling webhook (500)")]

    def answer(moment: str, request: str) -> None:
        if moment == "before" and request == f"POST {JOBS}" and answers:
            raise answers[0]

    client = Client(world, answer)
    rounds(client, 40)
    answers[0] = Refused("exceeded quota (403)")
    one_pass(client, "night")
    answers.clear()
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"


def test_a_spec_that_becomes_unreadable_in_mid_run_fails_the_run_and_the_application_serves() -> None:
    """A downgrade does that, for example to a release that would ignore the encryption."""
    world = offline_world()
    client = until_a_job_runs(world)
    world.objects[f"{RUNS}/night"]["spec"]["encryption"] = {"gpg": {}}
    to_rest(world, client)
    assert world.status("night")["reason"] == "SpecInvalid"
    assert world.status("night")["message"].startswith("spec.encryption does not fit this operator's release")
    assert_serves(world)
    assert [lease["spec"]["holderIdentity"] for lease in world.in_(LEASES)] == [""]


def test_a_workload_that_is_deleted_during_the_backup_does_not_fail_it() -> None:
    world = offline_world()
    client = until_a_job_runs(world)
    del world.objects["/apis/apps/v1/namespaces/shop/deployments/worker/scale"]
    to_rest(world, client)
    assert world.status("night")["phase"] == "Completed"
    assert world.replicas("backend") == 3


def test_a_workload_that_was_made_anew_meanwhile_is_left_alone() -> None:
    world = offline_world()
    client = until_a_job_runs(world)
    del world.objects["/apis/apps/v1/namespaces/shop/deployments/worker/scale"]
    world.deploy("worker", 0)
    to_rest(world, client)
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 0)


def test_what_was_down_before_stays_down() -> None:
    world = offline_world()
    world.scale("worker", 0)
    to_rest(world)
    assert (world.replicas("backend"), world.replicas("worker")) == (3, 0)


def test_an_autoscaled_workload_is_refused_before_anything_is_stopped() -> None:
    world = offline_world()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "backend"}
    world.put(AUTOSCALERS, "backend", {"spec": {"scaleTargetRef": target}})
    client = to_rest(world)
    assert world.status("night")["reason"] == "WorkloadAutoscaled"
    assert not [write for write in client.writes if "/scale" in write]
    assert_serves(world)


def test_a_workload_that_never_comes_is_named() -> None:
    world = offline_world()
    del world.objects["/apis/apps/v1/namespaces/shop/deployments/worker/scale"]
    to_rest(world)
    status = world.status("night")
    assert (status["phase"], status["reason"]) == ("Failed", "WorkloadMissing")
    assert status["message"].startswith("Deployment worker does not exist")
    assert world.replicas("backend") == 3


@pytest.mark.parametrize(
    "script",
    [
        ends_with(Reason.COMPLETED),
        ends_with(Reason.SOURCE_UNREACHABLE),
        ends_with(Reason.LOCK_BUSY, Reason.COMPLETED),
    ],
)
def test_killed_before_and_after_every_write_the_application_serves_again(script: Script) -> None:
    def check(world: World) -> None:
        assert set(world.served_during_dump) == {0}
        assert_serves(world)

    killed_everywhere(lambda: offline_world(script), check, least=14)
