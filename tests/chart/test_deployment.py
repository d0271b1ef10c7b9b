"""How the operator's own pod runs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, NAMESPACE, RELEASE, main_policy, render, the

APP_VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
POLICY = "ValidatingAdmissionPolicy"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def pod(*sets: str) -> dict[str, Any]:
    spec: dict[str, Any] = the(render(*sets), "Deployment")["spec"]["template"]["spec"]
    return spec


def operator(*sets: str) -> dict[str, Any]:
    (container,) = pod(*sets)["containers"]
    found: dict[str, Any] = container
    return found


def environment(*sets: str) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in operator(*sets)["env"]}


def test_one_replica_that_is_never_doubled_by_a_rollout() -> None:
    spec = the(render(), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_pod_passes_pod_security_restricted() -> None:
    seccomp = {"type": "RuntimeDefault"}
    assert pod()["securityContext"] == {"runAsNonRoot": True, "seccompProfile": seccomp}
    assert operator()["securityContext"] == {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": seccomp,
    }
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod())
    assert [set(volume) for volume in pod()["volumes"]] == [{"name", "emptyDir"}]


def test_only_this_pod_mounts_the_token() -> None:
    assert pod()["automountServiceAccountToken"] is True
    assert pod()["serviceAccountName"] == the(render(), "ServiceAccount")["metadata"]["name"]


def test_memory_is_bounded_and_the_processor_is_not() -> None:
    assert operator()["resources"]["limits"] == {"memory": "256Mi"}


def test_the_grace_period_is_longer_than_the_shutdown() -> None:
    assert pod()["terminationGracePeriodSeconds"] == 60


def test_probes_and_metrics_meet_at_one_named_port() -> None:
    container, service = operator(), the(render(), "Service")["spec"]
    (port,) = container["ports"]
    probes = [container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
    assert probes == [{"path": path, "port": "http"} for path in ("/livez", "/readyz")]
    assert port == {"name": "http", "containerPort": int(environment()["QN_HTTP_PORT"])}
    assert [p["targetPort"] for p in service["ports"]] == ["http"]


def test_the_service_finds_the_pod() -> None:
    labels = the(render(), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert the(render(), "Service")["spec"]["selector"].items() <= labels.items()


def test_the_settings_are_these() -> None:
    assert environment() == {
        "QN_OPERATOR": f"{NAMESPACE}/{RELEASE}",
        "QN_WATCH_NAMESPACES": NAMESPACE,
        "QN_RUNNER_IMAGE": f"localhost/quotenode-backup-operator:{APP_VERSION}",
        "QN_RUNNER_IMAGE_PULL_POLICY": "IfNotPresent",
        "QN_RUNNER_SERVICE_ACCOUNT": "default",
        "QN_ADMISSION_POLICY": main_policy(render(), POLICY)["metadata"]["name"],
        "QN_RESTORE_ADMISSION_POLICY": main_policy(render(), POLICY, "quotenoderestores")["metadata"]["name"],
        "QN_RESYNC_SECONDS": "300",
        "QN_MAX_CONCURRENT_RUNS": "10",
        "QN_LOG_FORMAT": "json",
        "QN_LOG_LEVEL": "INFO",
        "QN_HTTP_PORT": "8080",
    }


@pytest.mark.parametrize(
    ("value", "variable", "expected"),
    [
        ('watch.namespaces=["sales","billing"]', "QN_WATCH_NAMESPACES", "billing,sales"),
        ("watch.allNamespaces=true", "QN_WATCH_NAMESPACES", ""),
        ('runner.image="example.test/runner:1"', "QN_RUNNER_IMAGE", "example.test/runner:1"),
        ('runner.imagePullPolicy="Never"', "QN_RUNNER_IMAGE_PULL_POLICY", "Never"),
        ('image.tag="dev"', "QN_RUNNER_IMAGE", "localhost/quotenode-backup-operator:dev"),
        ('image.pullPolicy="Always"', "QN_RUNNER_IMAGE_PULL_POLICY", "Always"),
        ('runner.serviceAccountName="runner"', "QN_RUNNER_SERVICE_ACCOUNT", "runner"),
        ("controller.resyncSeconds=3600", "QN_RESYNC_SECONDS", "3600"),
        ("controller.maxConcurrentRuns=0", "QN_MAX_CONCURRENT_RUNS", "0"),
        ('log.format="text"', "QN_LOG_FORMAT", "text"),
        ('log.level="DEBUG"', "QN_LOG_LEVEL", "DEBUG"),
        ('extraEnv=[{"name":"QN_CRASH_AT","value":"3"}]', "QN_CRASH_AT", "3"),
    ],
)
def test_a_value_reaches_its_setting(value: str, variable: str, expected: str) -> None:
    assert environment(value)[variable] == expected


def test_a_digest_takes_the_place_of_the_tag_for_operator_and_runner() -> None:
    by_digest = f"localhost/quotenode-backup-operator@{DIGEST}"
    value = f'image.digest="{DIGEST}"'
    assert operator(value)["image"] == by_digest
    assert environment(value)["QN_RUNNER_IMAGE"] == by_digest


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ('priorityClassName="high"', "priorityClassName", "high"),
        ('nodeSelector={"disk":"ssd"}', "nodeSelector", {"disk": "ssd"}),
        ('tolerations=[{"operator":"Exists"}]', "tolerations", [{"operator": "Exists"}]),
        ('affinity={"nodeAffinity":{}}', "affinity", {"nodeAffinity": {}}),
        ('imagePullSecrets=[{"name":"pull"}]', "imagePullSecrets", [{"name": "pull"}]),
    ],
)
def test_where_it_runs_can_be_chosen(value: str, field: str, expected: object) -> None:
    assert field not in pod()
    assert pod(value)[field] == expected


def test_annotations_reach_the_pod_and_the_service() -> None:
    objects = render('podAnnotations={"a":"1"}', 'service.annotations={"b":"2"}')
    assert the(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"] == {"a": "1"}
    assert the(objects, "Service")["metadata"]["annotations"] == {"b": "2"}
