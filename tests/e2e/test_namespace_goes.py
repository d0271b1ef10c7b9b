"""A namespace that is deleted while its operator runs goes, whatever the cluster removes from it first."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e import operators
from tests.e2e.backups import a_backup, completed
from tests.e2e.kubectl import Namespace, kubectl
from tests.e2e.standin.quotenode import QuoteNode


@pytest.fixture
def leaving(own_namespace: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode]) -> Iterator[Namespace]:
    """With a release of the chart that watches it alone."""
    namespace, system = own_namespace("leaving"), own_namespace("leaving-system")
    deploy(namespace)
    operators.install([namespace.name], system.name)
    yield namespace
    operators.uninstall(system.name)


def test_with_resources_that_take_their_bundles_along_and_the_role_gone_before_them(leaving: Namespace) -> None:
    leaving.apply(*(a_backup(name, deletionPolicy="Delete") for name in ("first", "second")))
    for name in ("first", "second"):
        completed(leaving, name)
    leaving.delete("rolebinding", operators.RELEASE)

    kubectl("delete", "namespace", leaving.name, "--timeout=120s", timeout=130)
