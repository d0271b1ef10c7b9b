"""The policy asks about everything that a resource can name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from quotenode_backup.manifests import labels
from tests.chart.rendering import CHART, NAMESPACE, Manifest, of_kind, render

POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"


def main(objects: list[Manifest], kind: str) -> Manifest:
    """Of the policy that asks about references."""
    (found,) = (one for one in of_kind(objects, kind) if not one["metadata"]["name"].endswith(".labels"))
    return found


def about_labels(objects: list[Manifest], kind: str) -> Manifest:
    (found,) = (one for one in of_kind(objects, kind) if one["metadata"]["name"].endswith(".labels"))
    return found


def test_each_label_that_ties_a_run_to_its_schedule_is_guarded() -> None:
    said = [one["message"] for one in about_labels(render(), POLICY)["spec"]["validations"]]
    for label in (labels.SCHEDULE, labels.SCHEDULE_UID, labels.INITIATED_BY):
        assert [message for message in said if message.startswith(f"Label {label} is the operator's")]
    assert about_labels(render(), BINDING)["spec"]["policyName"] == about_labels(render(), POLICY)["metadata"]["name"]


def validations() -> list[dict[str, str]]:
    found: list[dict[str, str]] = main(render(), POLICY)["spec"]["validations"]
    return found


def references(schema: dict[str, Any], path: str = "object.spec") -> Iterator[tuple[str, str]]:
    """Each field of the schema that names a Secret or a claim, list items by index."""
    for name, inner in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        if name.endswith("SecretRef"):
            yield "secrets", f"{here}.name"
        elif name == "claimName":
            yield "persistentvolumeclaims", here
        elif inner.get("type") == "array":
            for index in range(inner["maxItems"]):
                yield from references(inner["items"], f"{here}[{index}]")
        else:
            yield from references(inner, here)


def spec_schema() -> dict[str, Any]:
    (path,) = (CHART / "files" / "crds").glob("quotenodebackups.yaml")
    crd = yaml.safe_load(path.read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def check_of(resource: str, name: str) -> str:
    scope = f"authorizer.group('').resource('{resource}').namespace(request.namespace)"
    return f"{scope}.name({name}).check('get').allowed()"


def asked_by(expression: str) -> str:
    return expression.rsplit("|| ", 1)[-1]


def test_each_reference_of_the_schema_is_asked_about_once() -> None:
    asked = [asked_by(rule["expression"]) for rule in validations() if "'get'" in rule["expression"]]
    assert sorted(asked) == sorted(check_of(*reference) for reference in references(spec_schema()))


def test_each_workload_of_the_schema_is_asked_about_once_by_its_kind() -> None:
    workloads = spec_schema()["properties"]["application"]["properties"]["workloads"]
    assert workloads["items"]["properties"]["kind"]["enum"] == ["Deployment", "StatefulSet"]
    asked = [rule["expression"] for rule in validations() if "'scale'" in rule["expression"]]
    assert asked == [scale_check_of(index) for index in range(workloads["maxItems"])]


def scale_check_of(index: int) -> str:
    workload = f"object.spec.application.workloads[{index}]"
    resource = f"resource({workload}.kind == 'StatefulSet' ? 'statefulsets' : 'deployments').subresource('scale')"
    return (
        f"!has(object.spec.application) || size(object.spec.application.workloads) <= {index} || "
        f"authorizer.group('apps').{resource}.namespace(request.namespace)"
        f".name({workload}.name).check('patch').allowed()"
    )


MAY_CREATE_PODS = "authorizer.group('').resource('pods').namespace(request.namespace).check('create').allowed()"


def test_the_requester_must_be_allowed_to_create_pods() -> None:
    assert MAY_CREATE_PODS in [rule["expression"] for rule in validations()]


def test_each_refusal_names_the_field_that_was_asked_about() -> None:
    fields = {check_of(resource, name): name.removeprefix("object.") for resource, name in references(spec_schema())}
    workloads = spec_schema()["properties"]["application"]["properties"]["workloads"]
    fields |= {
        asked_by(scale_check_of(index)): f"spec.application.workloads[{index}]"
        for index in range(workloads["maxItems"])
    }
    rules = {asked_by(rule["expression"]): rule for rule in validations()}
    for asked, field in fields.items():
        assert rules[asked]["messageExpression"].startswith(f"'{field}: ' + ")
        assert f" that {field} names. " in rules[asked]["message"]
    assert rules.keys() - fields.keys() == {MAY_CREATE_PODS}


def test_each_refusal_names_the_requester_and_the_remedy() -> None:
    variables = {one["name"]: one["expression"] for one in main(render(), POLICY)["spec"]["variables"]}
    assert "ask for a Role that allows it" in variables["remedy"]
    for rule in validations():
        assert rule["reason"] == "Forbidden"
        assert "request.userInfo.username" in rule["messageExpression"]
        assert "sk for a Role that allows it" in rule["message"]
        assert rule["messageExpression"].endswith((" + variables.remedy", "Ask for a Role that allows it.'"))


def test_it_fails_closed_and_denies() -> None:
    objects = render()
    assert main(objects, POLICY)["spec"]["failurePolicy"] == "Fail"
    assert main(objects, BINDING)["spec"]["validationActions"] == ["Deny"]
    assert main(objects, BINDING)["spec"]["policyName"] == main(objects, POLICY)["metadata"]["name"]


def test_it_asks_on_writes_of_the_spec_only() -> None:
    spec = main(render(), POLICY)["spec"]
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["CREATE", "UPDATE"], ["quotenodebackups"])
    conditions = {condition["name"]: condition["expression"] for condition in spec["matchConditions"]}
    assert conditions["spec-changed"] == "request.operation == 'CREATE' || object.spec != oldObject.spec"


def test_only_the_operators_own_account_is_exempt() -> None:
    conditions = main(render(release="mine"), POLICY)["spec"]["matchConditions"]
    account = f"system:serviceaccount:{NAMESPACE}:mine-quotenode-backup-operator"
    assert f"request.userInfo.username != '{account}'" in [condition["expression"] for condition in conditions]


def bound_namespaces(objects: list[Manifest]) -> list[str] | None:
    bound = main(objects, BINDING)["spec"].get("matchResources")
    if bound is None:
        return None
    (expression,) = bound["namespaceSelector"]["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("kubernetes.io/metadata.name", "In")
    values: list[str] = expression["values"]
    return values


@pytest.mark.parametrize(
    ("values", "namespaces"),
    [
        pytest.param((), [NAMESPACE], id="default: the release namespace"),
        pytest.param(('watch.namespaces=["b","a"]',), ["a", "b"], id="the listed ones"),
        pytest.param(("watch.allNamespaces=true",), None, id="all: no selector"),
    ],
)
def test_it_holds_in_the_watched_namespaces(values: tuple[str, ...], namespaces: list[str] | None) -> None:
    assert bound_namespaces(render(*values)) == namespaces


def test_it_can_be_switched_off() -> None:
    objects = render("admission.enabled=false")
    assert not of_kind(objects, POLICY) + of_kind(objects, BINDING)
