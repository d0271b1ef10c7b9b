"""The rules are valid, fire and clear when they should (the YAML files beside this one), and lead to a page that says what to do."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.samples import Sample

from quotenode_backup.controller.metrics import Metrics
from quotenode_backup.reconcile.schedule.snapshot import Snapshot
from tests.chart.rendering import render, the

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "quotenode-backup-operator" / "files" / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
STORIES = sorted(Path(__file__).parent.glob("*.yaml"))
TARGET = {"job", "instance"}
"""What Prometheus itself says of each sample of one operator."""
OPERATORS_NAMESPACE = "quotenode-system"
NOW = datetime(2026, 11, 30, 2, tzinfo=UTC)
READING = Snapshot(
    created=NOW,
    stale_after_seconds=172800,
    suspended=False,
    last_success=NOW,
    last_attempt=NOW,
    last_failed=False,
    last_size_bytes=5,
    last_duration_seconds=2,
    next_slot=NOW,
    running=2,
    waiting_since=NOW,
    running_since=NOW,
    running_until=NOW,
    missed_slots=0,
    skipped_slots=0,
)
"""Of a schedule of which there is something to say for each metric."""


def promtool(*arguments: object) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def told() -> list[Metric]:
    """What an operator tells that knows a schedule, an application and a namespace."""
    metrics = Metrics()
    metrics.schedules["shop", "night"] = READING
    metrics.applications["shop", "quotenode at postgres:5432"] = NOW
    metrics.set_served(["shop"], [])
    return [family for family in metrics.registry.collect() if family.name.startswith("quotenode_")]


def about_resources() -> list[Sample]:
    return [sample for family in told() for sample in family.samples if "namespace" in sample.labels]


def ours() -> set[str]:
    """The names of all metrics, as Prometheus has them."""
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in told()}


def asked_for(rule: dict[str, Any]) -> set[str]:
    return {word for word in re.split(r"[^a-z_]+", rule["expr"]) if word.startswith("quotenode_")}


def is_about_a_resource(rule: dict[str, Any]) -> bool:
    return bool(asked_for(rule) & {sample.name for sample in about_resources()})


def where_labels_are_overridden(story: str) -> str:
    """The series as they are stored there: `namespace` is the operator's, and ours has another name."""
    stored = rf'{{namespace="{OPERATORS_NAMESPACE}", exported_namespace="\1", resource_namespace='
    return re.sub(r'{namespace="(\w+)", resource_namespace=', stored, story)


def test_the_plain_file_is_valid() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_so_is_what_the_chart_makes_of_it(tmp_path: Path) -> None:
    rendered = the(render("prometheusRule.enabled=true"), "PrometheusRule")
    path = tmp_path / "rendered.yaml"
    path.write_text(yaml.safe_dump(rendered["spec"]))
    promtool("check", "rules", "--lint=all", "--lint-fatal", path)


@pytest.mark.parametrize("story", STORIES, ids=lambda path: str(path.stem))
def test_they_fire_and_clear(story: Path) -> None:
    promtool("test", "rules", story)


@pytest.mark.parametrize("story", STORIES, ids=lambda path: str(path.stem))
def test_they_do_so_where_prometheus_does_not_honour_our_labels(story: Path, tmp_path: Path) -> None:
    overridden = where_labels_are_overridden(story.read_text())
    assert f'namespace="{OPERATORS_NAMESPACE}"' in overridden
    path = tmp_path / story.name
    path.write_text(overridden.replace(f"../../{RULES.relative_to(ROOT)}", str(RULES)))
    promtool("test", "rules", path)


def test_every_sample_about_a_resource_has_a_namespace_that_no_prometheus_renames() -> None:
    assert about_resources()
    assert [one for one in about_resources() if one.labels.get("resource_namespace") != one.labels["namespace"]] == []


@pytest.mark.parametrize(
    "rule", [one for one in rules() if is_about_a_resource(one)], ids=lambda rule: str(rule["alert"])
)
def test_a_rule_about_resources_goes_by_that_one(rule: dict[str, Any]) -> None:
    assert "namespace" not in re.findall(r"\w+", rule["expr"])
    groups = [set(re.findall(r"\w+", group)) for group in re.findall(r"\b(?:by|on) *\(([^)]*)\)", rule["expr"])]
    assert groups
    assert [group for group in groups if "resource_namespace" not in group and group != TARGET] == []
    assert rule["labels"]["namespace"] == "{{ $labels.resource_namespace }}"
    assert "$labels.namespace" not in str(rule["annotations"])


def test_every_alert_is_in_a_story() -> None:
    told = "".join(story.read_text() for story in STORIES)
    assert [rule["alert"] for rule in rules() if rule["alert"] not in told] == []


def test_every_alert_has_a_page_and_names_it() -> None:
    assert [rule["annotations"]["runbook_url"] for rule in rules()] == [
        f"docs/runbooks/{rule['alert']}.md" for rule in rules()
    ]
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {rule["alert"] for rule in rules()}


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = (RUNBOOKS / "README.md").read_text()
    assert [rule["alert"] for rule in rules() if f"({rule['alert']}.md)" not in listed] == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_metric_that_a_rule_asks_for_is_one_that_we_have(rule: dict[str, Any]) -> None:
    assert asked_for(rule)
    assert asked_for(rule) <= ours()


def test_every_metric_is_in_the_list_of_metrics() -> None:
    listed = set(re.findall(r"`(\w+)", (RUNBOOKS / "README.md").read_text()))
    assert {name.removeprefix("quotenode_backup_") for name in ours()} - listed == set()
