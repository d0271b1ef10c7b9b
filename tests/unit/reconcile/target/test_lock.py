"""The lock of a database: who gets it, who keeps it, and what a Lease remembers."""

from datetime import timedelta
from typing import Any

import pytest

from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Lease, Stopped
from quotenode_backup.manifests import labels
from quotenode_backup.reconcile.target import lock as locks
from quotenode_backup.reconcile.target.lock import ANY_NUMBER, Busy, Full
from tests.unit.fakes.given import START
from tests.unit.fakes.lives import finished
from tests.unit.fakes.world import JOBS, LEASES, PODS, RUNS, Client, World


class Site:
    def __init__(self) -> None:
        self.world = World()
        self.cluster = Cluster(Client(self.world))  # type: ignore[arg-type]

    def applied(self, name: str) -> str:
        """A second after whatever came before."""
        self.world.now += timedelta(seconds=1)
        return self.world.apply(name)

    def take(self, name: str) -> object:
        run = finished(self.cluster.read_run("shop", name))
        assert run
        return finished(locks.take(self.cluster, run, ANY_NUMBER, self.world.now))

    @property
    def lease(self) -> Lease:
        [body] = self.world.in_(LEASES)
        found = finished(self.cluster.read_lease("shop", body["metadata"]["name"]))
        assert found
        return found

    def ends(self, name: str) -> None:
        condition = {
            "type": "Complete",
            "status": "True",
            "reason": "Completed",
            "message": "",
            "lastTransitionTime": START.isoformat(),
            "observedGeneration": 1,
        }
        self.world.change(f"{RUNS}/{name}", status={"conditions": [condition]})

    def work(self, uid: str, *, job: str, pod: str) -> None:
        """Its Job with such a condition, and its pod in such a phase."""
        marks = {labels.MANAGED_BY: labels.MANAGER, labels.RUN_UID: uid}
        body: dict[str, Any] = {"metadata": {"labels": marks}, "spec": {}}
        conditions = [{"type": job, "status": "True"}] if job else []
        self.world.put(JOBS, "work", body | {"status": {"conditions": conditions}})
        pod_body = {
            "metadata": {"labels": marks | {"batch.kubernetes.io/job-name": "work"}},
            "spec": {"containers": []},
        }
        self.world.put(PODS, "work-x", pod_body | {"status": {"phase": pod}})

    def break_lock(self, uid: str) -> None:
        path = f"{LEASES}/{self.lease.name}"
        meta = self.world.objects[path]["metadata"]
        self.world.change(path, metadata=meta | {"annotations": meta["annotations"] | {labels.BREAK_LOCK: uid}})


def held_by(name: str) -> Busy:
    return Busy(f"Waiting for {name}, which is backing up the same database")


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(("count", "words"), [(1, "1 backup is running, and"), (10, "10 backups are running, and")])
def test_without_room_it_says_how_many_are_on(count: int, words: str) -> None:
    assert Full(count).sentence.startswith(words)


def test_of_two_that_wait_the_older_gets_it_and_keeps_it(site: Site) -> None:
    first = site.applied("first")
    site.applied("second")
    assert site.take("second") == Busy("Waiting for first, which is older and waits for the same database")
    assert site.take("first") is None
    assert site.take("first") is None
    assert site.take("second") == held_by("first")
    assert (site.lease.holder_uid, site.lease.holder_name, site.lease.transitions) == (first, "first", 1)


def test_whoever_has_it_keeps_it_though_an_older_one_comes(site: Site) -> None:
    site.applied("first")
    second = site.applied("second")
    meta = site.world.objects[f"{RUNS}/first"]
    del site.world.objects[f"{RUNS}/first"]
    assert site.take("second") is None
    site.world.objects[f"{RUNS}/first"] = meta
    assert site.take("first") == held_by("second")
    assert site.lease.holder_uid == second


def test_an_older_one_that_is_on_its_way_out_is_not_waited_for(site: Site) -> None:
    site.applied("first")
    meta = site.world.objects[f"{RUNS}/first"]["metadata"]
    site.world.change(f"{RUNS}/first", metadata=meta | {"finalizers": [labels.FINALIZER]})
    site.world.delete("first")
    site.applied("second")
    assert site.take("second") is None


@pytest.mark.parametrize(
    ("job", "pod", "is_free"),
    [("Failed", "Failed", True), ("Failed", "Running", False), ("", "Failed", False), ("", "Pending", False)],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_of_a_run_that_is_over_it_is_free_when_its_work_is_seen_to_have_ended(
    site: Site, job: str, pod: str, is_free: bool, is_there: bool
) -> None:
    first = site.applied("first")
    site.applied("second")
    assert site.take("first") is None
    site.work(first, job=job, pod=pod)
    if is_there:
        site.ends("first")
    else:
        del site.world.objects[f"{RUNS}/first"]
    assert site.take("second") == (None if is_free else held_by("first"))


def test_an_admin_can_take_it_from_one_that_is_over_for_that_time_only(site: Site) -> None:
    first, second = site.applied("first"), site.applied("second")
    site.take("first")
    site.work(first, job="", pod="Running")
    site.break_lock(first)
    assert site.take("second") == held_by("first")
    site.ends("first")
    assert site.take("second") is None
    assert (site.lease.holder_uid, site.lease.break_for, site.lease.transitions) == (second, "", 2)


def test_an_admins_word_about_another_holder_counts_for_nothing(site: Site) -> None:
    first, second = site.applied("first"), site.applied("second")
    site.take("first")
    site.work(first, job="", pod="Running")
    site.break_lock(second)
    site.ends("first")
    assert site.take("second") == held_by("first")


def test_what_was_stopped_first_is_what_is_remembered(site: Site) -> None:
    site.applied("first")
    site.take("first")
    run = finished(site.cluster.read_run("shop", "first"))
    assert run
    before, after = (Stopped(workloads=(), user=user) for user in (1000, 0))
    for stopped in (before, after):
        finished(locks.remember_stopped(site.cluster, run, stopped, site.world.now))
    assert site.lease.stopped == before
    finished(locks.release(site.cluster, run, site.world.now))
    assert not site.lease.holder_uid
    assert site.lease.stopped is None
