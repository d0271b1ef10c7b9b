"""Every example applies as it is and does what it says."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.backups import completed
from tests.e2e.kubectl import Namespace
from tests.e2e.standin.quotenode import EXAMPLES, QuoteNode

NUMBERED = sorted(EXAMPLES.glob("[0-9]*.yaml"))


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace]) -> Namespace:
    """With the stand-in just as its manifests have it, in its full size."""
    namespace = watched("examples")
    namespace.kubectl("apply", f"--filename={EXAMPLES / 'quotenode'}")
    workloads = ("statefulset/quotenode-db", "deployment/backend", "deployment/backup-worker")
    namespace.kubectl("rollout", "status", "--timeout=180s", *workloads, timeout=200)
    QuoteNode(namespace.name).set_writes_per_second(0)
    return namespace


@pytest.mark.parametrize("example", NUMBERED, ids=lambda path: path.name)
def test_an_example_completes(namespace: Namespace, example: Path) -> None:
    namespace.kubectl("apply", f"--filename={example}")

    for body in yaml.safe_load_all(example.read_text()):
        assert completed(namespace, body["metadata"]["name"])["sizeBytes"] > 1_000_000
