"""The rules are valid, fire and clear when they should (the YAML files beside this one), and lead to a page that says what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from quotenode_backup.controller.health import Metrics
from quotenode_backup.controller.metrics import COUNTERS, GAUGES
from tests.chart.rendering import render, the

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "quotenode-backup-operator" / "files" / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
STORIES = sorted(Path(__file__).parent.glob("*.yaml"))


def promtool(*arguments: object) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


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
    ours = {f"quotenode_backup_{name}" for name in GAUGES} | {f"quotenode_backup_{name}_total" for name in COUNTERS}
    ours |= {f"{one.name}_total" if one.type == "counter" else one.name for one in Metrics().registry.collect()}
    words = re.split(r"[^a-z_]+", rule["expr"])
    asked = {word for word in words if word.startswith("quotenode_")}
    assert asked
    assert asked <= ours
