"""The operator is killed (SIGKILL) before and after every write that it makes for a run, then started again: the end is the same.

`recorded/` holds the writes of undisturbed runs. The walk goes along them, and a run that writes something else fails it: then the
list is to be read, judged and recorded anew.
"""

import fcntl
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e import api, volumes
from tests.e2e.backups import PASSWORD, a_backup, a_login, completed, condition, finished, jobs, lock_is_free, status
from tests.e2e.forks import Forks
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.nodes import a_local_volume, on_node
from tests.e2e.operators import OperatorProcess
from tests.e2e.pods import a_pod
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

RECORDED = Path(__file__).parent / "recorded"
OBSERVED = "PATCH the status while the pod lives: how often depends on how fast it is"
FOLLOWED_BY_OBSERVATIONS = ("POST /apis/batch", "PATCH /apis/apps")
WRITE = re.compile(r"Write (\d+) \((\d+)\.\d+\): (.*)")
"""The number of a write, its place, and what was written: see `CrashPoint`."""


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


class Site:
    """One run in a namespace and with a database of its own, under an operator that is started again whenever it has died."""

    def __init__(
        self,
        namespace: Namespace,
        database: Json,
        scenario: str,
        folder: str,
        log: Path,
        forks: Forks,
        crash_at: str,
    ) -> None:
        self.namespace = namespace
        self.scenario = scenario
        self._database = database
        self._folder = folder
        self._log = log
        self._forks = forks
        if scenario == "prunes":
            self.live_before(("old-a", "old-b"))
        self._operator = self._started(log, QN_CRASH_AT=crash_at)

    def _started(self, log: Path, **settings: str) -> OperatorProcess:
        return OperatorProcess(self.namespace.name, log, self._forks, QN_RESYNC_SECONDS="5", **settings)

    def stop(self) -> None:
        self._operator.stop()

    def revive(self) -> None:
        """Start the operator anew, without a crash point, if it is dead."""
        code = self._operator.process.poll()
        if code is not None:
            assert code == -9, f"the operator ended by itself with {code}:\n{self.log}"
            self._operator = self._started(self._log)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    @property
    def was_killed(self) -> bool:
        """By its own word: after its last write everything can be at rest before anybody sees it dead."""
        return "Crash point: killed" in self.log

    def got_to(self, crash_at: str) -> bool:
        """Whether the operator wrote that much. A pod that nobody observes makes it one place less."""
        number, is_place, _ = crash_at.partition(":")[2].partition(".")
        count, place, _ = WRITE.findall(self.log)[-1]
        return int(place if is_place else count) >= int(number)

    def until(self, look: Callable[[], object], what: str, within: float = 120) -> None:
        def revived() -> object:
            self.revive()
            return look()

        eventually(revived, what, within)

    def live(self) -> None:
        """From apply to rest."""
        if self.scenario == "waits":
            self.namespace.apply(self._older())
            self.until(lambda: self._is("older", "ClaimMissing"), "the older run waits for its claim")
            self.until(
                self._older_is_of_another_second, "the API server, which counts in seconds, tells older from younger"
            )
        if self.scenario == "offline":
            self.namespace.apply(an_application())
            self.namespace.kubectl("rollout", "status", "deployment/app", "--timeout=60s")
        self.namespace.apply(self._made())
        if self.scenario == "waits":
            self.until(lambda: self._is("run", "WaitingForTarget"), "the younger run waits for the older")
            self.namespace.delete("quotenodebackup", "older")
        self.until(self._has_ended, "the run has ended")
        self.until(self.is_at_rest, "the Jobs expire and the lock is free")

    def _older_is_of_another_second(self) -> bool:
        body = self.namespace.get("quotenodebackup", "older") or {}
        return datetime.now(UTC) >= datetime.fromisoformat(body["metadata"]["creationTimestamp"]) + timedelta(seconds=1)

    def _has_ended(self) -> bool:
        return self.run_name != "" and status(self.namespace, self.run_name).get("phase") in {"Completed", "Failed"}

    @property
    def run_name(self) -> str:
        """Of a schedule: the run that it made; empty until it did."""
        if self.scenario != "slot":
            return "run"
        made = self.namespace.items("quotenodebackups", "backup.quotenode.io/schedule=run")
        return next((run["metadata"]["name"] for run in made), "")

    def _made(self) -> Json:
        body = self._backup("run")
        match self.scenario:
            case "offline":
                workloads = [{"kind": "Deployment", "name": "app"}]
                body["spec"] |= {"mode": "Offline", "application": {"workloads": workloads}}
            case "prunes":
                body["spec"] |= {"retention": {"keepLast": 1}}
            case "slot":
                slot = datetime.now(UTC) + timedelta(seconds=12)
                body["spec"] |= {"schedule": f"{slot:%-S %-M %-H} * * *"}
        return body

    def live_before(self, names: tuple[str, ...]) -> None:
        """Runs that were, before the one that the operator is killed in."""
        with self._started(self._log.with_name("before.log")):
            for name in names:
                self.namespace.apply(self._backup(name))
                completed(self.namespace, name)
                eventually(lambda: lock_is_free(self.namespace), "the lock is free", 30)

    def _is(self, name: str, reason: str) -> bool:
        return status(self.namespace, name).get("reason") == reason

    def _backup(self, name: str) -> Json:
        storage = {"local": {"claimName": "bundles"}}
        return a_backup(name, database=self._database, files=None, storage=storage, pod=None, auditLog="Disabled")

    def _older(self) -> Json:
        """A run of the same database that waits for a claim: everybody younger waits for it."""
        return self._backup("older") | {
            "spec": self._backup("older")["spec"] | {"files": [{"name": "none", "claimName": "not-there"}]}
        }

    def bundles(self) -> list[str]:
        """The paths of all on the claim, sorted."""
        found = on_node(f"cd {self._folder}; find . -name '*.tar.gz' -type f -printf '%P\\n'")
        return sorted(found.splitlines())

    def is_at_rest(self) -> bool:
        mine = jobs(self.namespace, self.run_name)
        return lock_is_free(self.namespace) and all("ttlSecondsAfterFinished" in job["spec"] for job in mine)

    def writes(self) -> list[str]:
        """What the operator wrote, with made-up names left out, and the observations of a live pod as one line."""
        listed: list[str] = []
        for _, _, line in WRITE.findall(self.log):
            shape = self._shape(line)
            in_between = bool(listed) and (listed[-1] == OBSERVED or listed[-1].startswith(FOLLOWED_BY_OBSERVATIONS))
            if in_between and shape.endswith("/run/status"):
                shape = OBSERVED
            if shape != OBSERVED or listed[-1] != OBSERVED:
                listed.append(shape)
        return listed

    def _shape(self, line: str) -> str:
        named = line.replace(f"/namespaces/{self.namespace.name}", "")
        named = re.sub(r"(quotenodebackups/old)-[ab]", r"\1-*", named)
        return re.sub(r"(qnb-[a-z]+-)[0-9a-f]{20}", r"\1*", re.sub(r"qn-lock-[0-9a-f]{24}", "qn-lock-*", named))

    def told(self) -> list[str]:
        """The reasons of the Events about the run, sorted: one for each time."""
        events = self.namespace.items(
            "events.v1.events.k8s.io", "app.kubernetes.io/managed-by=quotenode-backup-operator"
        )
        mine = [event for event in events if event["regarding"]["name"] in {"run", self.run_name}]
        return sorted(event["reason"] for event in mine for _ in range((event.get("series") or {}).get("count", 1)))


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
def database(
    own_namespace: Callable[[str], Namespace], run_id: str, tmp_path_factory: pytest.TempPathFactory
) -> QuoteNode:
    """One PostgreSQL server for all walks, made by the first process that asks; each run has a database of its own in it."""
    with (tmp_path_factory.getbasetemp().parent / "crash.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        namespace = own_namespace("crash")
        quotenode = QuoteNode(namespace.name)
        if not namespace.get("statefulset", "quotenode-db"):
            make_folders(run_id)
            quotenode.deploy()
        return quotenode


def make_folders(run_id: str) -> None:
    """For the bundles of each site, on the node. A volume of the cluster's own class would cost two pods: to make it and to remove it."""
    everywhere = [(scenario, "") for scenario in EXPECTED]
    for scenario in EXPECTED:
        everywhere += points(scenario, "before", "after")
    names = " ".join(place_of(*where) for where in everywhere)
    home = f"{volumes.ROOT}/{run_id}/walks"
    on_node(f"mkdir -p {home}; cd {home}; mkdir -p {names}; chmod 0777 {names}")


def place_of(scenario: str, crash_at: str) -> str:
    return scenario + crash_at.replace(":", "").replace(".", "x")


Begin = Callable[[str, str], Site]


@pytest.fixture
def begin(
    database: QuoteNode, own_namespace: Callable[[str], Namespace], run_id: str, forks: Forks, tmp_path: Path
) -> Iterator[Begin]:
    """Makes the site of a scenario whose operator dies at a point; empty: never."""
    sites: list[Site] = []

    def made(scenario: str, crash_at: str) -> Site:
        place = place_of(scenario, crash_at)
        database.psql(f"DROP DATABASE IF EXISTS {place}; CREATE DATABASE {place} OWNER quotenode")
        namespace = own_namespace(f"crash-{place}")
        folder = f"{volumes.ROOT}/{run_id}/walks/{place}"
        login = a_login("wrong" if scenario == "fails" else PASSWORD)
        namespace.apply(login, *a_local_volume(namespace, "bundles", folder))
        where = {"host": f"quotenode-db.{database.namespace}", "name": place}
        sites.append(Site(namespace, where, scenario, folder, tmp_path / "operator.log", forks, crash_at))
        return sites[-1]

    yield made
    for site in sites:
        site.stop()
        api.delete("", "namespace", site.namespace.name)
        api.delete("", "persistentvolume", f"{site.namespace.name}-bundles")


def an_application() -> Json:
    """Something that an offline run stops."""
    pod = a_pod("app")
    marks = {"app": "app"}
    template = {"metadata": {"labels": marks}, "spec": pod["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": marks}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": spec}


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
