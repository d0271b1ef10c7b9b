"""Where a crash walk has one run: a namespace and a database of its own, under an operator that is killed and started again."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.backups import a_backup, completed, jobs, lock_is_free, status
from tests.e2e.forks import Forks
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.nodes import on_node
from tests.e2e.operators import OperatorProcess
from tests.e2e.pods import a_pod
from tests.e2e.waiting import eventually

OBSERVED = "PATCH the status while the pod lives: how often depends on how fast it is"
FOLLOWED_BY_OBSERVATIONS = ("POST /apis/batch", "PATCH /apis/apps")
WRITE = re.compile(r"Write (\d+) \((\d+)\.\d+\): (.*)")
"""The number of a write, its place, and what was written: see `CrashPoint`."""


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
        if self.scenario == "slot":
            self._assert_made_before_its_slot()
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
                self._slot = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=12)
                body["spec"] |= {"schedule": f"{self._slot:%-S %-M %-H} * * *"}
        return body

    def _assert_made_before_its_slot(self) -> None:
        """Whenever the operator sees the schedule, the slots count that came after the schedule was made."""
        body = self.namespace.get("quotenodebackup", "run") or {}
        made = datetime.fromisoformat(body["metadata"]["creationTimestamp"])
        assert made < self._slot, f"this machine is too slow: the schedule for {self._slot} was made at {made}"

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


def an_application() -> Json:
    """Something that an offline run stops."""
    pod = a_pod("app")
    marks = {"app": "app"}
    template = {"metadata": {"labels": marks}, "spec": pod["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": marks}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": spec}
