"""Real Prometheuses scrape an operator with our own rules: what fires, what clears, and what stays silent."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import tools
from tests.cluster.cache import Cache, default_root
from tests.e2e.backups import a_backup, condition, status
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.operators import ROOT, OperatorProcess
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually
from tests.ports import free_port

RULES = ROOT / "helm" / "quotenode-backup-operator" / "files" / "alerts.yaml"
NEW_YEAR = "0 0 1 1 *"
SHORTEST_SECONDS = 60
"""The least that staleAfterSeconds can be."""


class Prometheus:
    """Looks once a second at the operator it is told of. An alert fires as soon as its condition holds, and outlives its operator by
    ten seconds in place of a quarter of an hour."""

    def __init__(self, folder: Path, honor_labels: bool) -> None:
        self._honor_labels = honor_labels
        self._address = f"127.0.0.1:{free_port()}"
        self._targets = folder / "targets.json"
        self._targets.write_text("[]")
        (folder / "rules.yaml").write_text(yaml.safe_dump(_at_once(yaml.safe_load(RULES.read_text()))))
        config = folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump(self._config()))
        options = {"config.file": config, "web.listen-address": self._address, "storage.tsdb.path": folder / "data"}
        program = tools.provide(Cache(default_root()), "prometheus")
        with (folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(program), *(f"--{name}={value}" for name, value in options.items())], stdout=log, stderr=log
            )

    def _config(self) -> dict[str, Any]:
        discovery = {"files": [self._targets.name], "refresh_interval": "1s"}
        job = {"job_name": "operator", "honor_labels": self._honor_labels, "file_sd_configs": [discovery]}
        pace = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        return {"global": pace, "scrape_configs": [job], "rule_files": ["rules.yaml"]}

    def scrapes(self, operator: OperatorProcess) -> None:
        fresh = self._targets.with_suffix(".new")
        target = {"targets": [f"127.0.0.1:{operator.port}"], "labels": {"namespace": "quotenode-system"}}
        fresh.write_text(json.dumps([target]))
        fresh.rename(self._targets)

    def firing(self) -> set[tuple[str, str]]:
        """Each alert and the schedule that it is about."""
        try:
            with urllib.request.urlopen(f"http://{self._address}/api/v1/alerts", timeout=5) as answer:
                alerts = json.load(answer)["data"]["alerts"]
        except OSError:  # it is still starting
            return {("none", "")}
        for alert in alerts:
            assert "error" not in json.dumps(alert["annotations"]), alert
            labels = alert["labels"]
            assert "name" not in labels or labels["namespace"] == labels["resource_namespace"], alert
        return {
            (one["labels"]["alertname"].removeprefix("QuoteNodeBackup"), one["labels"].get("name", ""))
            for one in alerts
        }

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


def _at_once(rules: Any) -> Any:
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
            rule["expr"] = rule["expr"].replace("[15m]", "[10s]")
    return rules


@pytest.fixture
def prometheuses(tmp_path: Path) -> Iterator[list[Prometheus]]:
    """One that takes our label `namespace` as it is, and one that replaces its value, as managed ones do."""
    with ExitStack() as stack:
        started = []
        for honor_labels in (True, False):
            folder = tmp_path / f"prometheus-{honor_labels}"
            folder.mkdir()
            started.append(Prometheus(folder, honor_labels))
            stack.callback(started[-1].stop)
        yield started


def all_tell(prometheuses: list[Prometheus], *expected: tuple[str, str], within: float = 30) -> None:
    """Exactly these alerts."""
    eventually(
        lambda: [one.firing() for one in prometheuses] == [set(expected)] * len(prometheuses),
        f"exactly {expected} fire",
        within,
    )


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode]) -> Namespace:
    made = own_namespace("alerts")
    deploy(made)
    return made


def a_schedule(name: str, **changes: Any) -> Json:
    """Due on New Year's Day, so that only triggers start runs."""
    return a_backup(name, **({"schedule": NEW_YEAR, "files": None, "staleAfterSeconds": SHORTEST_SECONDS} | changes))


def trigger(namespace: Namespace, name: str, value: str) -> None:
    patch = json.dumps({"spec": {"trigger": value}})
    namespace.kubectl("patch", "quotenodebackup", name, "--type=merge", f"--patch={patch}")


def last_success(namespace: Namespace, name: str) -> str:
    """Empty while there is none."""
    return str(status(namespace, name).get("lastSuccessfulTime", ""))


def staleness(namespace: Namespace, name: str) -> str:
    return str(condition(status(namespace, name), "Stale").get("status"))


def metrics(operator: OperatorProcess, schedule: str) -> dict[str, float]:
    """What the operator tells of a schedule; empty while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    told = (
        line.partition("{") for line in lines if line.startswith("quotenode_backup_") and f'name="{schedule}"' in line
    )
    return {name: float(rest.rpartition(" ")[2]) for name, _, rest in told}


def test_a_stale_backup_alarms_until_a_success_and_a_suspended_or_weekly_schedule_does_not(
    namespace: Namespace, prometheuses: list[Prometheus], tmp_path: Path
) -> None:
    with OperatorProcess(namespace.name, tmp_path / "operator.log") as operator:
        for one in prometheuses:
            one.scrapes(operator)
        namespace.apply(
            a_schedule("night", trigger="first"),
            a_schedule("paused", trigger="first", suspend=True),
            a_schedule("paused-new", suspend=True),
            a_schedule("weekly", schedule="0 2 * * 0", staleAfterSeconds=8 * 86400),
            a_schedule("never", schedule="0 2 1 1 *"),
        )
        eventually(
            lambda: last_success(namespace, "night") and last_success(namespace, "paused"),
            "the first runs complete",
            120,
        )
        all_tell(prometheuses, ("Stale", "night"), ("NeverSucceeded", "never"), within=SHORTEST_SECONDS + 30)
        eventually(lambda: staleness(namespace, "night") == "True", "the resource says it too", 15)
        assert staleness(namespace, "paused") == "False"

        first = last_success(namespace, "night")
        trigger(namespace, "night", "second")
        eventually(lambda: last_success(namespace, "night") != first, "the second run completes", 120)
        all_tell(prometheuses, ("NeverSucceeded", "never"))
        eventually(lambda: staleness(namespace, "night") == "False", "the resource says that it is fresh", 15)
        namespace.delete("quotenodebackup", "never")
        all_tell(prometheuses)

    all_tell(prometheuses, ("OperatorDown", ""))


def test_a_restart_and_the_loss_of_every_run_forget_nothing(namespace: Namespace, tmp_path: Path) -> None:
    log = tmp_path / "operator.log"
    with OperatorProcess(namespace.name, log) as operator:
        namespace.apply(a_schedule("kept", staleAfterSeconds=3600, trigger="first"))
        first = eventually(lambda: last_success(namespace, "kept"), "the first run completes", 120)
        trigger(namespace, "kept", "second")
        eventually(lambda: last_success(namespace, "kept") != first, "the second run completes", 120)
        eventually(lambda: metrics(operator, "kept").get("quotenode_backup_running") == 0, "it is over", 30)
        before = metrics(operator, "kept")
        said = status(namespace, "kept")
        assert before["quotenode_backup_last_size_bytes"] == said["lastSizeBytes"] > 0
        assert before["quotenode_backup_last_duration_seconds"] == said["lastDurationSeconds"]
        assert before["quotenode_backup_last_run_failed"] == 0

        namespace.delete("quotenodebackup", options=("--selector=backup.quotenode.io/schedule=kept",))
        assert not namespace.items("quotenodebackups", "backup.quotenode.io/schedule=kept")
        assert metrics(operator, "kept") == before

    with OperatorProcess(namespace.name, log) as operator:
        eventually(lambda: metrics(operator, "kept") == before, "the same is told after the restart", 60)
