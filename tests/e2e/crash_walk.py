"""The operator is killed (SIGKILL) before and after every write that it makes for a run, then started again: the end is the same.

`recorded/` holds the writes of undisturbed runs. The walk goes along them, and a run that writes something else fails it: then the
list is to be read, judged and recorded anew.
"""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import api, volumes
from tests.e2e.backups import PASSWORD, a_login, condition, finished, jobs, status
from tests.e2e.crash_site import OBSERVED, WRITE, Site
from tests.e2e.forks import Forks
from tests.e2e.kubectl import Namespace
from tests.e2e.nodes import a_local_volume, on_node
from tests.e2e.standin.quotenode import QuoteNode

RECORDED = Path(__file__).parent / "recorded"


def recorded(scenario: str) -> list[str]:
    return (RECORDED / f"{scenario}.txt").read_text(encoding="utf-8").splitlines()


SLOT_WRITES = 23
"""At most, for a slot's run and its schedule. They are reconciled side by side, so their writes have no one order to record."""


def points(scenario: str, *sides: str) -> list[tuple[str, str]]:
    """Where the operator is killed. The moment before a write leaves the cluster as the moment after the one before it, so few scenarios
    go through both."""
    numbers = [str(number) for number in range(1, SLOT_WRITES + 1)] if scenario == "slot" else places(scenario)
    return [(scenario, f"{side}:{number}") for number in numbers for side in sides]


def places(scenario: str) -> list[str]:
    """The recorded writes by their places, which are the same however often a live pod is observed. Where a line has a star, the next one
    like it is of another object."""
    found: list[str] = []
    place, repeat, last = 0, 0, ""
    for line in recorded(scenario):
        place, repeat = (place, repeat + 1) if line == last and "*" not in line else (place + 1, 1)
        found.append(f"{place}.{repeat}")
        last = line
    return found


EXPECTED = {
    "completes": ("Completed", ["Completed", "JobCreated"]),
    "fails": ("CredentialsRefused", ["CredentialsRefused", "JobCreated"]),
    "waits": ("Completed", ["Completed", "JobCreated", "WaitingForTarget"]),
    "offline": ("Completed", ["ApplicationStarted", "Completed", "JobCreated", "StoppingApplication"]),
    "prunes": ("Completed", ["Completed", "JobCreated", "Pruned"]),
    "slot": ("Completed", ["Completed", "JobCreated", "RunCreated"]),
}


def assert_ended_well(site: Site) -> None:
    """The same end as without any crash."""
    reason, events = EXPECTED[site.scenario]
    ended = finished(site.namespace, site.run_name, 1)
    assert (ended["reason"], [one["number"] for one in ended["attempts"]]) == (reason, [1]), ended["message"]
    assert [job["metadata"]["name"] for job in jobs(site.namespace, site.run_name)] == [ended["jobName"]]
    assert site.told() == events
    body = site.namespace.get("quotenodebackup", site.run_name)
    assert body and "backup.quotenode.io/finished" in body["metadata"]["annotations"]
    assert site.bundles() == [place["path"] for place in ended.get("destinations", [])]
    if site.scenario == "offline":
        app = site.namespace.get("deployment", "app")
        assert app and app["spec"]["replicas"] == 2
    if site.scenario == "prunes":
        for old in ("old-a", "old-b"):
            assert condition(status(site.namespace, old), "LocalBundlePresent")["reason"] == "Pruned"
    if site.scenario == "slot":
        assert len(site.namespace.items("quotenodebackups")) == 2
        assert status(site.namespace, "run")["missedSlots"] == 0


@pytest.fixture(scope="module")
def database(own_namespace: Callable[[str], Namespace], run_id: str, shared: Path) -> QuoteNode:
    """One PostgreSQL server for all walks, made by the first process that asks; each run has a database of its own in it."""
    with (shared / "crash.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        quotenode = QuoteNode(own_namespace("crash").name)
        done = shared / "crash.deployed"
        if not done.exists():
            make_folders(run_id)
            quotenode.deploy()
            done.touch()
        return quotenode


def make_folders(run_id: str) -> None:
    """Empty ones for the bundles of each site, on the node. A volume of the cluster's own class would cost two pods: to make it and to
    remove it."""
    everywhere = [(scenario, "") for scenario in EXPECTED]
    for scenario in EXPECTED:
        everywhere += points(scenario, "before", "after")
    names = " ".join(place_of(*where) for where in everywhere)
    home = f"{volumes.ROOT}/{run_id}/walks"
    on_node(f"rm -rf {home}; mkdir -p {home}; cd {home}; mkdir {names}; chmod 0777 {names}")


def place_of(scenario: str, crash_at: str) -> str:
    return scenario + crash_at.replace(":", "").replace(".", "x")


Begin = Callable[[str, str], Site]


@pytest.fixture
def begin(
    database: QuoteNode, own_namespace: Callable[[str], Namespace], run_id: str, forks: Forks, tmp_path: Path
) -> Iterator[Begin]:
    """Makes the site of a scenario whose operator dies at a point; empty: never."""
    with contextlib.ExitStack() as cleanup:

        def made(scenario: str, crash_at: str) -> Site:
            place = place_of(scenario, crash_at)
            database.psql(f"DROP DATABASE IF EXISTS {place}; CREATE DATABASE {place} OWNER quotenode")
            namespace = own_namespace(f"crash-{place}")
            cleanup.callback(forget, namespace)
            folder = f"{volumes.ROOT}/{run_id}/walks/{place}"
            login = a_login("wrong" if scenario == "fails" else PASSWORD)
            namespace.apply(login, *a_local_volume(namespace, "bundles", folder))
            where = {"host": f"quotenode-db.{database.namespace}", "name": place}
            site = Site(namespace, where, scenario, folder, tmp_path / "operator.log", forks, crash_at)
            cleanup.callback(site.stop)
            return site

        yield made


def forget(namespace: Namespace) -> None:
    api.delete("", "namespace", namespace.name)
    api.delete("", "persistentvolume", f"{namespace.name}-bundles")


def assert_writes_what_is_recorded(site: Site) -> None:
    site.live()
    assert_ended_well(site)
    assert not site.was_killed
    assert _lasting(site.writes()) == _lasting(recorded(site.scenario)), "what it wrote:\n" + "\n".join(site.writes())


def _lasting(writes: list[str]) -> list[str]:
    """A fast pod is not observed at all."""
    return [line for line in writes if line != OBSERVED]


def assert_writes_no_more_than_the_walk_goes_along(site: Site) -> None:
    site.live()
    assert_ended_well(site)
    assert len(WRITE.findall(site.log)) <= SLOT_WRITES, WRITE.findall(site.log)


def assert_ends_the_same(site: Site, crash_at: str) -> None:
    site.live()
    assert_ended_well(site)
    assert site.was_killed or not site.got_to(crash_at), "it was never killed"
