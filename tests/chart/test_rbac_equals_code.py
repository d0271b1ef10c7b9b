"""The chart grants the operator exactly the verbs that its code uses, wherever it watches."""

import pytest

from quotenode_backup.cluster.gateway import NEEDED
from tests.chart.rendering import operator_rules

USED = {(group, resource, verb) for (group, resource), verbs in NEEDED.items() for verb in verbs}


@pytest.mark.parametrize("watched", ["watch.allNamespaces=true", 'watch.namespaces=["shop","stock"]'])
def test_the_rights_are_those_that_the_code_uses(watched: str) -> None:
    assert operator_rules(watched) == USED


def test_no_right_reaches_a_secret_or_into_a_pod() -> None:
    resources = {resource for _, resource, _ in USED}
    assert resources.isdisjoint({"secrets", "configmaps", "pods/exec", "pods/log", "roles", "rolebindings", "*"})
