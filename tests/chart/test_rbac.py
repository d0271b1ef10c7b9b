"""Who may do what."""

from __future__ import annotations

import pytest

from quotenode_backup.api import GROUP, backup, restore
from quotenode_backup.cluster.permissions import NEEDED, NEEDED_TO_LET_GO
from tests.chart.rendering import (
    NAMESPACE,
    Rule,
    letting_go,
    of_kind,
    operator_roles,
    operator_rules,
    render,
    rules_of,
    the,
)

TWO_NAMESPACES = 'watch.namespaces=["sales","billing"]'
EVERYWHERE = "watch.allNamespaces=true"


def every_right() -> set[Rule]:
    """What the code uses."""
    return {(group, resource, verb) for (group, resource), verbs in NEEDED.items() for verb in verbs}


@pytest.mark.parametrize("values", [(), (TWO_NAMESPACES,), (EVERYWHERE,)], ids=["default", "two", "all"])
def test_the_operator_has_exactly_these_rights(values: tuple[str, ...]) -> None:
    assert operator_rules(*values) == every_right()


@pytest.mark.parametrize(
    "forbidden",
    [
        "secrets",
        "configmaps",
        "pods/exec",
        "pods/log",
        "serviceaccounts",
        "roles",
        "rolebindings",
        "clusterroles",
    ],
)
@pytest.mark.parametrize("values", [(), (EVERYWHERE,)], ids=["default", "all"])
def test_the_operator_has_no_verb_on(values: tuple[str, ...], forbidden: str) -> None:
    assert forbidden not in {resource for _, resource, _ in operator_rules(*values)}


def test_no_rule_has_a_wildcard() -> None:
    objects = render(EVERYWHERE) + render()
    roles = of_kind(objects, "Role") + of_kind(objects, "ClusterRole")
    assert not [right for role in roles for right in rules_of(role) if "*" in "".join(right)]


def test_by_default_it_may_act_in_its_own_namespace_only() -> None:
    assert [role["metadata"]["namespace"] for role in operator_roles(render())] == [NAMESPACE]


def test_each_watched_namespace_has_a_role_and_the_release_namespace_none() -> None:
    roles = operator_roles(render(TWO_NAMESPACES))
    assert [role["metadata"]["namespace"] for role in roles] == ["billing", "sales"]


def test_all_namespaces_take_one_cluster_role_and_no_role() -> None:
    objects = render(EVERYWHERE)
    assert [role["kind"] for role in operator_roles(objects)] == ["ClusterRole"]
    assert not of_kind(objects, "Role")


@pytest.mark.parametrize("values", [(), (EVERYWHERE,)], ids=["default", "all"])
def test_a_namespace_that_goes_away_can_be_let_go_with_no_other_right_in_all(values: tuple[str, ...]) -> None:
    (role,) = letting_go(render(*values))
    assert rules_of(role) == {
        (group, resource, verb) for (group, resource), verbs in NEEDED_TO_LET_GO.items() for verb in verbs
    }


def test_that_right_can_be_left_out() -> None:
    assert not letting_go(render("rbac.letNamespacesGo=false"))


def test_only_reading_is_given_to_the_built_in_roles() -> None:
    (view,) = of_kind(render("rbac.letNamespacesGo=false", "admission.enabled=false"), "ClusterRole")
    aggregations = [label for label in view["metadata"]["labels"] if label.startswith("rbac.")]
    assert aggregations == ["rbac.authorization.k8s.io/aggregate-to-view"]
    assert rules_of(view) == {
        (GROUP, plural, verb) for plural in (backup.PLURAL, restore.PLURAL) for verb in ("get", "list", "watch")
    }


def test_reading_by_the_built_in_roles_can_be_left_out() -> None:
    without = render("rbac.aggregateToView=false", "rbac.letNamespacesGo=false", "admission.enabled=false")
    assert not of_kind(without, "ClusterRole")


def test_two_releases_of_one_cluster_share_no_name() -> None:
    names = [
        {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in render(release=release)}
        for release in ("first", "second")
    ]
    shared = {kind for kind, _, _ in names[0] & names[1]}
    assert shared <= {"CustomResourceDefinition"}


def test_the_token_is_not_mounted_by_the_service_account() -> None:
    assert the(render(), "ServiceAccount")["automountServiceAccountToken"] is False
