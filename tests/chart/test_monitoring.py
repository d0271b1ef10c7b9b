"""ServiceMonitor and PrometheusRule, for clusters that have the Prometheus operator."""

from __future__ import annotations

from typing import Any

import yaml

from tests.chart.rendering import CHART, NAMESPACE, of_kind, render, the

MONITOR, RULE = "serviceMonitor.enabled=true", "prometheusRule.enabled=true"


def plain_rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def rendered_rules(*values: str) -> list[dict[str, Any]]:
    (group,) = the(render(RULE, *values), "PrometheusRule")["spec"]["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def test_by_default_there_is_neither() -> None:
    assert not of_kind(render(), "ServiceMonitor") + of_kind(render(), "PrometheusRule")


def test_the_monitor_finds_the_service_at_its_port() -> None:
    objects = render(MONITOR)
    spec, service = the(objects, "ServiceMonitor")["spec"], the(objects, "Service")
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in spec["endpoints"]] == [port["name"] for port in service["spec"]["ports"]]


def test_the_metrics_of_an_operator_that_is_not_ready_can_be_had() -> None:
    """A stuck one is not ready."""
    assert the(render(), "Service")["spec"]["publishNotReadyAddresses"] is True


def test_the_namespace_of_a_sample_stays_that_of_the_schedule() -> None:
    (endpoint,) = the(render(MONITOR, 'serviceMonitor.interval="15s"'), "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["path"], endpoint["honorLabels"], endpoint["interval"]) == ("/metrics", True, "15s")


def test_the_rules_are_those_of_the_plain_file() -> None:
    assert rendered_rules() == plain_rules()


def test_the_runbooks_can_be_elsewhere_and_nothing_else_changes() -> None:
    there = rendered_rules('prometheusRule.runbookUrl="https://wiki.example.com/qn/"')
    urls = [rule["annotations"].pop("runbook_url") for rule in there]
    assert urls == [f"https://wiki.example.com/qn/{rule['alert']}.md" for rule in plain_rules()]
    here = plain_rules()
    for rule in here:
        del rule["annotations"]["runbook_url"]
    assert there == here


def test_both_carry_the_labels_that_prometheus_selects_by() -> None:
    objects = render(
        MONITOR, RULE, 'serviceMonitor.labels={"release":"prometheus"}', 'prometheusRule.labels={"role":"alerts"}'
    )
    monitor, rule = the(objects, "ServiceMonitor")["metadata"], the(objects, "PrometheusRule")["metadata"]
    assert (monitor["labels"]["release"], rule["labels"]["role"]) == ("prometheus", "alerts")
    assert {monitor["namespace"], rule["namespace"]} == {NAMESPACE}
    assert monitor["labels"]["app.kubernetes.io/name"] == "quotenode-backup-operator"
