"""The policy asks about everything that a resource can name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from quotenode_backup.api import GROUP
from quotenode_backup.cluster.permissions import NEEDED_TO_JUDGE
from quotenode_backup.manifests import labels
from tests.chart.rendering import (
    CHART,
    NAMESPACE,
    RELEASE,
    Manifest,
    main_policy,
    of_kind,
    operator_rules,
    render,
    rules_of,
    the,
)

POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
RESTORES = "quotenoderestores"
VARIABLES = {"quotenodebackups": "QN_ADMISSION_POLICY", RESTORES: "QN_RESTORE_ADMISSION_POLICY"}
KINDS = tuple(VARIABLES)
WITHOUT_WORKLOADS = {
    "quotenodebackups": "!has(object.spec.application)",
    RESTORES: "!has(object.spec.application) || !has(object.spec.application.workloads)",
}


def about_labels(objects: list[Manifest], kind: str) -> Manifest:
    (found,) = (one for one in of_kind(objects, kind) if one["metadata"]["name"].endswith(".labels"))
    return found


def test_each_label_that_ties_a_run_to_its_schedule_is_guarded() -> None:
    said = [one["message"] for one in about_labels(render(), POLICY)["spec"]["validations"]]
    for label in (labels.SCHEDULE, labels.SCHEDULE_UID, labels.INITIATED_BY):
        assert [message for message in said if message.startswith(f"Label {label} is the operator's")]
    assert about_labels(render(), BINDING)["spec"]["policyName"] == about_labels(render(), POLICY)["metadata"]["name"]


def test_each_annotation_that_survives_a_lost_status_is_guarded() -> None:
    for key in (labels.FINISHED, labels.LAST_TRIGGER):
        [rule] = [one for one in about_labels(render(), POLICY)["spec"]["validations"] if f" {key} " in one["message"]]
        assert rule["message"].startswith(f"Annotation {key} is the operator's and says ")
        assert rule["message"].endswith("Leave it out, or ask for the right to patch the status.")
        assert rule["messageExpression"].endswith('to patch " + request.resource.resource + "/status."')
        assert rule["expression"].startswith(f"variables.mayWriteStatus || !('{key}' in variables.annotations) ||")


def test_labels_and_annotations_of_both_kinds_are_guarded_by_the_right_to_patch_the_status_of_each() -> None:
    spec = about_labels(render(), POLICY)["spec"]
    assert spec["matchConstraints"]["resourceRules"][0]["resources"] == [*KINDS]
    (variable,) = (one for one in spec["variables"] if one["name"] == "mayWriteStatus")
    assert ".resource(request.resource.resource).subresource('status')" in variable["expression"]


def validations(plural: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = main_policy(render(), POLICY, plural)["spec"]["validations"]
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


def spec_schema(plural: str) -> dict[str, Any]:
    crd = yaml.safe_load((CHART / "files" / "crds" / f"{plural}.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def check_of(resource: str, name: str) -> str:
    scope = f"authorizer.group('').resource('{resource}').namespace(request.namespace)"
    return f"{scope}.name({name}).check('get').allowed()"


def asked_by(expression: str) -> str:
    return expression.rsplit("|| ", 1)[-1]


@pytest.mark.parametrize("plural", KINDS)
def test_each_reference_of_the_schema_is_asked_about_once(plural: str) -> None:
    asked = [asked_by(rule["expression"]) for rule in validations(plural) if "'get'" in rule["expression"]]
    named = [one for one in asked if ".name(" in one]
    assert sorted(named) == sorted(check_of(*reference) for reference in references(spec_schema(plural)))


@pytest.mark.parametrize("plural", KINDS)
def test_each_workload_of_the_schema_is_asked_about_once_by_its_kind(plural: str) -> None:
    workloads = spec_schema(plural)["properties"]["application"]["properties"]["workloads"]
    assert workloads["items"]["properties"]["kind"]["enum"] == ["Deployment", "StatefulSet"]
    asked = [rule["expression"] for rule in validations(plural) if ".workloads[" in rule["expression"]]
    assert asked == [scale_check_of(plural, index) for index in range(workloads["maxItems"])]


def scale_check_of(plural: str, index: int) -> str:
    workload = f"object.spec.application.workloads[{index}]"
    resource = f"resource({workload}.kind == 'StatefulSet' ? 'statefulsets' : 'deployments').subresource('scale')"
    return (
        f"{WITHOUT_WORKLOADS[plural]} || size(object.spec.application.workloads) <= {index} || "
        f"authorizer.group('apps').{resource}.namespace(request.namespace)"
        f".name({workload}.name).check('patch').allowed()"
    )


IN_NAMESPACE = "namespace(request.namespace)"
MAY_CREATE_PODS = f"authorizer.group('').resource('pods').{IN_NAMESPACE}.check('create').allowed()"
GIVEN_WORKLOADS = "(has(object.spec.application) && has(object.spec.application.workloads))"
OF_ANY_NAME = {
    f"authorizer.group('').resource('secrets').{IN_NAMESPACE}.check('get').allowed()": "has(object.spec.database)",
    f"authorizer.group('').resource('persistentvolumeclaims').{IN_NAMESPACE}.check('get').allowed()": (
        "has(object.spec.source.archive)"
    ),
    **{
        f"authorizer.group('apps').resource('{kind}').subresource('scale').{IN_NAMESPACE}.check('patch').allowed()": (
            f"has(object.spec.source.archive) || {GIVEN_WORKLOADS}"
        )
        for kind in ("deployments", "statefulsets")
    },
}
"""What a restore needs for what it takes over from another resource, where it does not name it itself."""


@pytest.mark.parametrize("plural", KINDS)
def test_the_requester_must_be_allowed_to_create_pods(plural: str) -> None:
    assert MAY_CREATE_PODS in [rule["expression"] for rule in validations(plural)]


def test_who_restores_what_another_resource_names_must_be_allowed_to_use_all_of_that_kind() -> None:
    """The policy can't look into the backup that a restore inherits from."""
    asked = [rule["expression"] for rule in validations(RESTORES)]
    for question, unless in OF_ANY_NAME.items():
        assert f"{unless} || {question}" in asked


@pytest.mark.parametrize("plural", KINDS)
def test_each_refusal_names_the_field_that_was_asked_about(plural: str) -> None:
    schema = spec_schema(plural)
    fields = {check_of(resource, name): name.removeprefix("object.") for resource, name in references(schema)}
    workloads = schema["properties"]["application"]["properties"]["workloads"]
    fields |= {
        asked_by(scale_check_of(plural, index)): f"spec.application.workloads[{index}]"
        for index in range(workloads["maxItems"])
    }
    rules = {asked_by(rule["expression"]): rule for rule in validations(plural)}
    for asked, field in fields.items():
        assert rules[asked]["messageExpression"].startswith(f"'{field}: ' + ")
        assert f" that {field} names. " in rules[asked]["message"]
    of_any_name = OF_ANY_NAME.keys() if plural == RESTORES else set()
    assert rules.keys() - fields.keys() == {MAY_CREATE_PODS, *of_any_name}


@pytest.mark.parametrize("plural", KINDS)
def test_each_refusal_names_the_requester_and_the_remedy(plural: str) -> None:
    variables = {one["name"]: one["expression"] for one in main_policy(render(), POLICY, plural)["spec"]["variables"]}
    assert "ask for a Role that allows it" in variables["remedy"]
    for rule in validations(plural):
        assert rule["reason"] == "Forbidden"
        assert "request.userInfo.username" in rule["messageExpression"]
        assert "sk for a Role that allows it" in rule["message"]
        assert rule["messageExpression"].endswith((" + variables.remedy", "sk for a Role that allows it.'"))


@pytest.mark.parametrize("plural", KINDS)
def test_the_largest_resource_stays_within_the_cost_that_the_api_server_allows(plural: str) -> None:
    """Each question costs 350,000 of 10,000,000. Were all of them asked of one resource, it would still be admitted."""
    assert (len(validations(plural)) + 1) * 350_000 < 10_000_000


@pytest.mark.parametrize("plural", KINDS)
def test_it_fails_closed_and_denies(plural: str) -> None:
    objects = render()
    assert main_policy(objects, POLICY, plural)["spec"]["failurePolicy"] == "Fail"
    assert main_policy(objects, BINDING, plural)["spec"]["validationActions"] == ["Deny"]
    assert main_policy(objects, BINDING, plural)["spec"]["policyName"] == name_of(objects, plural)


@pytest.mark.parametrize("plural", KINDS)
def test_it_asks_on_writes_of_the_spec_only(plural: str) -> None:
    spec = main_policy(render(), POLICY, plural)["spec"]
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["CREATE", "UPDATE"], [plural])
    conditions = {condition["name"]: condition["expression"] for condition in spec["matchConditions"]}
    changed = conditions["spec-changed-or-approved"]
    assert changed.startswith("request.operation == 'CREATE' || object.spec != oldObject.spec || ")
    assert labels.APPROVED in changed


def test_an_operator_is_exempt_by_a_right_that_no_wildcard_for_our_resources_grants() -> None:
    ((group, resource, verb),) = {right for right in operator_rules() if right[1] == "exemptions"}
    conditions = {one["name"]: one["expression"] for one in main_policy(render(), POLICY)["spec"]["matchConditions"]}
    asked = f"authorizer.group('{group}').resource('{resource}').namespace(request.namespace).check('{verb}').allowed()"
    assert conditions["not-an-operator"] == f"!{asked}"
    assert group != GROUP


def test_the_operator_is_told_the_names_of_the_policies_and_may_see_just_those() -> None:
    objects = render()
    for plural, variable in VARIABLES.items():
        assert main_policy(objects, BINDING, plural)["metadata"]["name"] == name_of(objects, plural)
        assert environment(objects)[variable] == name_of(objects, plural)
        assert environment(render("admission.enabled=false"))[variable] == ""
    (role,) = (one for one in of_kind(objects, "ClusterRole") if one["metadata"]["name"].endswith(".admission"))
    assert [rule["resourceNames"] for rule in role["rules"]] == [[name_of(objects, plural) for plural in KINDS]]
    assert rules_of(role) == {(group, kind, verb) for (group, kind), verbs in NEEDED_TO_JUDGE.items() for verb in verbs}


def environment(objects: list[Manifest]) -> dict[str, str]:
    (container,) = the(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


def name_of(objects: list[Manifest], plural: str = "quotenodebackups") -> str:
    return str(main_policy(objects, POLICY, plural)["metadata"]["name"])


def edited(folder: Path, file: str, old: str, new: str) -> Path:
    """A copy of the chart with another text in one of its files."""
    copy = Path(shutil.copytree(CHART, folder / "chart"))
    text = (copy / file).read_text()
    assert text.count(old) == 1
    (copy / file).write_text(text.replace(old, new))
    return copy


SHARED = "templates/_admission.tpl"
TEMPLATES = {"quotenodebackups": "templates/admission.yaml", RESTORES: "templates/admission-restores.yaml"}


@pytest.mark.parametrize("plural", KINDS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("failurePolicy: Fail", "failurePolicy: Ignore"),
        ("validationActions: [Deny]", "validationActions: [Warn]"),
        ("until 8 }}\n  {{- include", "until 7 }}\n  {{- include"),
        (" may not get {{ .kind }} ' +", " must not get {{ .kind }} ' +"),
    ],
)
def test_a_policy_of_another_content_has_another_name_and_so_none_is_changed_in_place(
    tmp_path: Path, plural: str, old: str, new: str
) -> None:
    """The operator takes one that was changed for none."""
    file = TEMPLATES[plural] if old.startswith("until") else SHARED
    objects = render(chart=edited(tmp_path, file, old, new))
    assert name_of(objects, plural) != name_of(render(), plural)
    assert environment(objects)[VARIABLES[plural]] == name_of(objects, plural)


def test_a_change_of_one_policy_leaves_the_other_its_name(tmp_path: Path) -> None:
    old, new = "until 8 }}\n  {{- include", "until 7 }}\n  {{- include"
    objects = render(chart=edited(tmp_path, TEMPLATES[RESTORES], old, new))
    assert name_of(objects) == name_of(render())


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("Chart.yaml", "\nversion: ", "\nversion: 9"),
        ("Chart.yaml", "\nappVersion: ", "\nappVersion: 9"),
        (SHARED, "# Without its status", "# Not its status"),
    ],
)
def test_what_means_nothing_to_the_policy_leaves_it_its_name(tmp_path: Path, file: str, old: str, new: str) -> None:
    objects = render(chart=edited(tmp_path, file, old, new))
    assert [name_of(objects, plural) for plural in KINDS] == [name_of(render(), plural) for plural in KINDS]


@pytest.mark.parametrize("value", ["watch.allNamespaces=true", 'image.tag="dev"', "rbac.aggregateToView=false"])
def test_no_value_changes_the_policy_that_a_release_has(value: str) -> None:
    assert name_of(render(value)) == name_of(render())


def test_releases_have_policies_of_their_own_whose_names_differ_in_nothing_else() -> None:
    content = name_of(render()).rpartition(".")[2]
    assert re.fullmatch("[0-9a-f]{8}", content)
    assert name_of(render()) == f"{RELEASE}.{NAMESPACE}.{content}"
    other = render(release="other")
    assert name_of(other) == f"other-quotenode-backup-operator.{NAMESPACE}.{content}"
    assert main_policy(other, POLICY)["spec"] == main_policy(render(), POLICY)["spec"]


def test_the_longest_names_of_release_and_namespace_leave_room_for_the_rest() -> None:
    longest = name_of(render(release="r" * 53), RESTORES)
    assert len(longest) - len(NAMESPACE) + 63 <= 253


def test_what_ties_a_pod_to_its_backup_is_guarded() -> None:
    (policy,) = (one for one in of_kind(render(), POLICY) if one["metadata"]["name"].endswith(".pods"))
    asked = "".join(rule["expression"] for rule in policy["spec"]["validations"])
    for key in (
        labels.MANAGED_BY,
        labels.RUN_NAME,
        labels.RUN_UID,
        labels.ATTEMPT,
        labels.STEP,
        labels.KIND,
        labels.PLAN,
    ):
        assert f"'{key}'" in asked
    assert policy["spec"]["matchConstraints"]["objectSelector"]["matchLabels"] == {labels.MANAGED_BY: labels.MANAGER}
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["UPDATE"], ["pods", "pods/ephemeralcontainers"])


@pytest.mark.parametrize("values", [(), ('watch.namespaces=["b","a"]',), ("watch.allNamespaces=true",)])
def test_each_policy_holds_in_all_namespaces_whatever_is_watched(values: tuple[str, ...]) -> None:
    """What is written where nobody serves it would run, unasked, once somebody does."""
    objects = render(*values)
    assert len(of_kind(objects, BINDING)) == len(of_kind(objects, POLICY)) == 4
    for binding in of_kind(objects, BINDING):
        assert set(binding["spec"]) == {"policyName", "validationActions"}
        assert binding["spec"]["validationActions"] == ["Deny"]
    for policy in of_kind(objects, POLICY):
        assert policy["spec"]["failurePolicy"] == "Fail"
        assert "namespaceSelector" not in policy["spec"]["matchConstraints"]


def test_it_can_be_switched_off() -> None:
    objects = render("admission.enabled=false")
    assert not of_kind(objects, POLICY) + of_kind(objects, BINDING)
