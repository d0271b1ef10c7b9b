"""The lock of a database: who gets it, who keeps it, and what a Lease remembers."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from quotenode_backup.api.run_status import StoppedWorkload
from quotenode_backup.cluster.errors import Conflict, Unreadable
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import BackupRun, Lease, Stopped
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels
from quotenode_backup.reconcile.dispatch import HoldersOfLocks
from quotenode_backup.reconcile.reporting.requeue import NOW
from quotenode_backup.reconcile.target import lock
from quotenode_backup.reconcile.target.acquire import Applicant, LockAcquirer, LockHeld
from quotenode_backup.reconcile.target.capacity import CapacityGate, ConcurrencyLimit, NotNow
from quotenode_backup.reconcile.target.wind_down import WindDown
from tests.unit.fakes.given import START
from tests.unit.fakes.lives import event_reasons, finished, reconciler, rounds
from tests.unit.fakes.world import DEPLOYMENTS, JOBS, LEASES, PODS, RUNS, Client, World


class Observed(Client):
    """Something happens right after runs were listed, or once before the operator writes to a path that begins so."""

    on_list: Callable[[], None] | None = None
    before_write: tuple[str, Callable[[], object]] | None = None

    async def write(self, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
        if self.before_write and path.startswith(self.before_write[0]):
            (_, happen), self.before_write = self.before_write, None
            happen()
        return await super().write(method, path, body, content_type)

    async def pages(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        async for page in super().pages(path, query):
            yield page
        if path == RUNS and self.on_list:
            self.on_list()


class Site:
    def __init__(self) -> None:
        self.world = World()
        self.client = Observed(self.world)
        self.cluster = Cluster(self.client)
        holders = HoldersOfLocks(self.cluster)
        self.wind_down = WindDown(self.cluster, holders)
        gate = CapacityGate(self.cluster.leases, ConcurrencyLimit())
        self._locks = LockAcquirer(self.cluster, holders, self.wind_down, gate)

    def applied(self, name: str) -> str:
        """The time, which goes on by a second with each call."""
        self.world.now += timedelta(seconds=1)
        return self.world.apply(name)

    def take(self, name: str) -> object:
        run = self.run(name)
        applicant = Applicant(run.owner, run.target, run.created, None)
        return finished(self._locks.acquire(applicant, self.world.now))

    def gives_back(self, name: str) -> None:
        """Another pass of the operator, over the finished holder, gives the lock back."""
        cluster = Cluster(Client(self.world))
        wind_down = WindDown(cluster, HoldersOfLocks(cluster))
        finished(wind_down.release(self.run(name), self.world.now))

    def beside(self, name: str) -> None:
        """Another operator takes the lock for the run, whatever the order of age."""
        run = self.run(name)
        found = self.lease if self.world.in_(LEASES) else None
        finished(lock.take(Cluster(Client(self.world)), run.owner, run.target, found, None, self.world.now))

    def run(self, name: str) -> BackupRun:
        found = finished(self.cluster.backups.read("shop", name))
        assert isinstance(found, BackupRun)
        return found

    def held_by(self, kind: str, name: str, uid: str) -> None:
        """The lock of the database, held by a resource of that kind that has stopped an application."""
        stopped = Stopped(
            workloads=(StoppedWorkload(kind="Deployment", name="backend", uid=self._backend(), replicas=3),), user=1000
        )
        target = Target("shop", "db", 5432, "shop")
        owner = Owner(kind, "shop", name, uid)
        finished(lock.take(self.cluster, owner, target, None, stopped, self.world.now))

    def _backend(self) -> str:
        """The UID of a Deployment that is scaled down."""
        self.world.deploy("backend", 0)
        return str(self.world.objects[f"{DEPLOYMENTS}/backend/scale"]["metadata"]["uid"])

    @property
    def lease(self) -> Lease:
        [body] = self.world.in_(LEASES)
        found = finished(self.cluster.leases.read("shop", body["metadata"]["name"]))
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
        """The Job of a run with this condition, and its pod in this phase."""
        pod_labels = {labels.MANAGED_BY: labels.MANAGER, labels.RUN_UID: uid, labels.STEP: "backup"}
        body: dict[str, Any] = {"metadata": {"labels": pod_labels}, "spec": {}}
        conditions = [{"type": job, "status": "True"}] if job else []
        self.world.put(JOBS, "work", body | {"status": {"conditions": conditions}})
        pod_body = {
            "metadata": {"labels": pod_labels | {"batch.kubernetes.io/job-name": "work"}},
            "spec": {"containers": []},
        }
        self.world.put(PODS, "work-x", pod_body | {"status": {"phase": pod}})

    def break_lock(self, uid: str) -> None:
        path = f"{LEASES}/{self.lease.name}"
        meta = self.world.objects[path]["metadata"]
        self.world.change(path, metadata=meta | {"annotations": meta["annotations"] | {labels.BREAK_LOCK: uid}})


def held_by(name: str) -> LockHeld:
    return LockHeld(f"Waiting for {name}, which is backing up the same database")


@pytest.fixture
def site() -> Site:
    return Site()


def test_of_two_waiting_runs_the_older_gets_the_lock_and_keeps_it(site: Site) -> None:
    first = site.applied("first")
    site.applied("second")
    assert site.take("second") == LockHeld("Waiting for first, which is older and also waits for this database")
    assert site.take("first") is None
    assert site.take("first") is None
    assert site.take("second") == held_by("first")
    assert (site.lease.holder, site.lease.transitions) == (Owner("QuoteNodeBackup", "shop", "first", first), 1)


def test_the_holder_keeps_the_lock_when_an_older_run_comes(site: Site) -> None:
    site.applied("first")
    second = site.applied("second")
    meta = site.world.objects[f"{RUNS}/first"]
    del site.world.objects[f"{RUNS}/first"]
    assert site.take("second") is None
    site.world.objects[f"{RUNS}/first"] = meta
    assert site.take("first") == held_by("second")
    assert site.lease.is_held_by(site.run("second").owner)
    assert site.run("second").uid == second


def test_an_older_run_that_is_being_deleted_is_not_waited_for(site: Site) -> None:
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
def test_the_lock_of_a_finished_run_is_free_once_its_job_and_pod_are_seen_to_have_ended(
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


def test_an_administrator_can_break_the_lock_of_one_finished_run_and_of_no_later_holder(site: Site) -> None:
    first, second = site.applied("first"), site.applied("second")
    site.take("first")
    site.work(first, job="", pod="Running")
    site.break_lock(first)
    assert site.take("second") == held_by("first")
    site.ends("first")
    assert site.take("second") is None
    assert (site.lease.holder, site.lease.break_for, site.lease.transitions) == (site.run("second").owner, "", 2)
    assert site.run("second").uid == second


def test_a_lock_that_an_administrator_breaks_for_another_holder_stays(site: Site) -> None:
    first, second = site.applied("first"), site.applied("second")
    site.take("first")
    site.work(first, job="", pod="Running")
    site.break_lock(second)
    site.ends("first")
    assert site.take("second") == held_by("first")


def test_the_first_record_of_what_was_stopped_is_kept(site: Site) -> None:
    site.applied("first")
    site.take("first")
    before, after = (Stopped(workloads=(), user=user) for user in (1000, 0))
    for stopped in (before, after):
        finished(lock.remember_stopped(site.cluster, site.lease, stopped, site.world.now))
    assert site.lease.stopped == before
    finished(site.wind_down.release(site.run("first"), site.world.now))
    assert site.lease.holder is None
    assert site.lease.stopped is None


def test_what_the_lock_says_was_stopped_is_started_by_wind_down_alone(site: Site) -> None:
    """Giving a lock back or taking it never scales a workload, and is refused while the Lease records stopped ones."""
    site.held_by("QuoteNodeBackup", "gone", "uid-of-gone")
    site.applied("first")
    first = site.run("first")
    with pytest.raises(lock.StillStopped):
        finished(lock.give_back(site.cluster, site.lease, site.world.now))
    with pytest.raises(lock.StillStopped):
        finished(lock.take(site.cluster, first.owner, first.target, site.lease, None, site.world.now))
    assert (site.lease.holder and site.lease.holder.name, site.world.replicas("backend")) == ("gone", 0)
    assert site.take("first") is None
    assert (site.lease.holder, site.lease.stopped, site.world.replicas("backend")) == (first.owner, None, 3)


@pytest.mark.parametrize("kind", ["QuoteNodeRestore", "Unheard", "quotenodebackup"])
def test_a_holder_of_a_kind_that_only_a_later_release_knows_is_never_taken_for_abandoned(site: Site, kind: str) -> None:
    """Such as after a rollback during a restore: its application stays stopped, and nobody else gets the lock."""
    site.held_by(kind, "evening", "uid-of-evening")
    before = site.lease
    site.applied("first")
    rounds(site.client, 5)
    assert site.lease == before
    assert site.world.replicas("backend") == 0
    assert site.world.status("first")["reason"] == "WaitingForTarget"
    assert (
        site.world.status("first")["message"] == f"Waiting for {kind} evening, which has the lock of the same database"
    )


@pytest.mark.parametrize("is_there", [True, False])
def test_a_backup_of_the_same_name_does_not_give_back_what_another_kind_holds(site: Site, is_there: bool) -> None:
    site.held_by("QuoteNodeRestore", "first", "uid-of-restore")
    before = site.lease
    if is_there:
        site.applied("first")
    key = Key("QuoteNodeBackup", "shop", "first")
    assert finished(site.wind_down.release_absent(key, site.world.now))
    finished(reconciler(site.world, site.client).reconcile(key))
    assert site.lease == before


def test_not_even_an_administrator_can_break_the_lock_of_a_holder_of_unknown_kind(site: Site) -> None:
    """This release can't know whether that holder has finished."""
    site.held_by("QuoteNodeRestore", "evening", "uid-of-evening")
    site.break_lock("uid-of-evening")
    site.applied("first")
    assert isinstance(site.take("first"), LockHeld)


def test_a_lease_without_a_kind_is_held_by_a_backup(site: Site) -> None:
    site.applied("first")
    site.take("first")
    path = f"{LEASES}/{site.lease.name}"
    meta = site.world.objects[path]["metadata"]
    known = {key: text for key, text in meta["annotations"].items() if key != labels.HOLDER_KIND}
    site.world.change(path, metadata=meta | {"annotations": known})
    assert site.lease.is_held_by(site.run("first").owner)
    assert site.lease.holder == site.run("first").owner


def test_an_older_one_that_cannot_be_read_is_not_waited_for(site: Site) -> None:
    """It may stay so for ever."""
    site.applied("first")
    site.world.change(f"{RUNS}/first", status={"phase": "Dreaming"})
    site.applied("second")
    assert site.take("second") is None


def test_a_holder_that_cannot_be_read_keeps_its_lock(site: Site) -> None:
    site.applied("first")
    site.take("first")
    site.world.change(f"{RUNS}/first", status={"phase": "Dreaming"})
    site.applied("second")
    with pytest.raises(Unreadable):
        site.take("second")
    assert site.lease.holder
    assert site.lease.holder.name == "first"


def test_an_older_one_that_ended_while_it_was_looked_for_is_not_waited_for(site: Site) -> None:
    site.applied("first")
    site.applied("second")
    site.client.on_list = lambda: site.ends("first")
    assert site.take("second") is None


def test_a_lock_that_is_given_back_while_it_is_taken_over_is_taken_in_the_next_pass_and_nothing_is_reported(
    site: Site,
) -> None:
    site.applied("first")
    site.take("first")
    site.ends("first")
    site.applied("second")
    site.client.before_write = (LEASES, lambda: site.gives_back("first"))
    assert site.take("second") == NotNow(NOW)
    assert (site.world.status("second"), event_reasons(site.world)) == ({}, [])
    assert site.take("second") is None


def test_a_lock_that_another_took_over_first_is_waited_for_and_its_holder_is_named(site: Site) -> None:
    site.applied("first")
    site.take("first")
    site.ends("first")
    site.applied("second")
    site.applied("third")
    site.client.before_write = (LEASES, lambda: site.beside("third"))
    assert site.take("second") == held_by("third")
    assert site.lease.is_held_by(site.run("third").owner)


def test_a_lock_that_another_made_first_is_waited_for_and_its_holder_is_named(site: Site) -> None:
    site.applied("first")
    site.applied("second")
    site.client.before_write = (LEASES, lambda: site.beside("second"))
    assert site.take("first") == held_by("second")


def test_a_workload_that_changes_while_it_is_started_is_no_lock_that_somebody_has_taken(site: Site) -> None:
    site.held_by("QuoteNodeBackup", "gone", "uid-of-gone")
    site.applied("first")
    scale = f"{DEPLOYMENTS}/backend/scale"
    site.client.before_write = (scale, lambda: site.world.change(scale))
    with pytest.raises(Conflict):
        site.take("first")
    assert site.take("first") is None
    assert site.world.replicas("backend") == 3
