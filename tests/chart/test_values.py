"""values.schema.json refuses what the chart would not understand, and says where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, HelmRefused, helm, render

SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_helm_lint_finds_nothing() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", "--kube-version", "1.30.0", str(CHART))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("replicas=2", "additional properties 'replicas' not allowed"),
        ('image.tags="x"', "at '/image': additional properties 'tags' not allowed"),
        ('image.tag="-"', "at '/image/tag': '-' does not match"),
        ('image.repository="quotenode:1.0"', "at '/image/repository': 'quotenode:1.0' does not match"),
        ('image.digest="sha256:12"', "at '/image/digest': 'sha256:12' does not match"),
        ('image.pullPolicy="Sometimes"', "value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ('watch.namespaces="sales"', "at '/watch/namespaces': got string, want array"),
        ('watch.namespaces=["Sales"]', "at '/watch/namespaces/0': 'Sales' does not match"),
        ('watch.namespaces=["a","a"]', "at '/watch/namespaces': items at 0 and 1 are equal"),
        ('watch.allNamespaces="yes"', "at '/watch/allNamespaces': got string, want boolean"),
        ('controller.resyncSeconds="300"', "at '/controller/resyncSeconds': got string, want integer"),
        ("controller.resyncSeconds=4", "at '/controller/resyncSeconds': minimum: got 4, want 5"),
        ("controller.resyncSeconds=3601", "at '/controller/resyncSeconds': maximum: got 3,601, want 3,600"),
        ('log.level="TRACE"', "value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
        ('crds.install="no"', "at '/crds/install': got string, want boolean"),
        ('extraEnv=[{"name":"A","valueFrom":{}}]', "additional properties 'valueFrom' not allowed"),
        ('resources.limits.memory="much"', "at '/resources/limits/memory': 'much' does not match"),
        ('tolerations=[{"effekt":"NoSchedule"}]', "additional properties 'effekt' not allowed"),
        ('serviceMonitor.interval="often"', "at '/serviceMonitor/interval': 'often' does not match"),
        ('prometheusRule.runbookUrl="wiki"', "at '/prometheusRule/runbookUrl': 'wiki' does not match"),
    ],
)
def test_a_wrong_value_is_refused(value: str, sentence: str) -> None:
    with pytest.raises(HelmRefused) as refusal:
        render(value)
    assert sentence in str(refusal.value)


def test_some_and_all_namespaces_at_once_are_refused() -> None:
    with pytest.raises(HelmRefused, match=r"set only one of the two"):
        render('watch.namespaces=["sales"]', "watch.allNamespaces=true")


def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(HelmRefused, match=r"chart requires kubeVersion: >= 1\.30\.0-0"):
        helm("template", "x", str(CHART), "--kube-version", "1.29.9")


def test_the_schema_knows_each_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert sorted(_known_to_one_only(values, SCHEMA)) == ["global"]


def _known_to_one_only(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Below what has keys of the user's own, or none by default, there is nothing to compare."""
    for name in values.keys() ^ schema["properties"].keys():
        yield f"{path}{name}"
    for name in values.keys() & schema["properties"].keys():
        if values[name] and "properties" in schema["properties"][name]:
            yield from _known_to_one_only(values[name], schema["properties"][name], f"{path}{name}.")


def test_each_property_is_described() -> None:
    assert not [path for path, schema in _properties(SCHEMA, "") if "description" not in schema]


def _properties(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}/{name}", inner
        yield from _properties(inner, f"{path}/{name}")
