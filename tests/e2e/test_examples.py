"""Every example of a backup applies as it is and does what it says."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.backups import completed, status
from tests.e2e.kubectl import Namespace
from tests.e2e.standin.quotenode import EXAMPLES, QuoteNode
from tests.e2e.waiting import eventually

BACKUPS = [path for path in sorted(EXAMPLES.glob("[0-9]*.yaml")) if "\nkind: QuoteNodeBackup\n" in path.read_text()]


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace]) -> Namespace:
    """With the stand-in just as its manifests have it, in its full size."""
    namespace = watched("examples")
    namespace.kubectl("apply", f"--filename={EXAMPLES / 'quotenode'}")
    workloads = ("statefulset/quotenode-db", "deployment/backend", "deployment/backup-worker")
    namespace.kubectl("rollout", "status", "--timeout=180s", *workloads, timeout=200)
    QuoteNode(namespace.name).set_writes_per_second(0)
    return namespace


@pytest.mark.parametrize("example", BACKUPS, ids=lambda path: path.name)
def test_an_example_completes_or_is_scheduled(namespace: Namespace, example: Path) -> None:
    namespace.kubectl("apply", f"--filename={example}")

    for body in yaml.safe_load_all(example.read_text()):
        if "schedule" in body["spec"]:
            assert next_slot(namespace, body["metadata"]["name"])
        else:
            assert completed(namespace, body["metadata"]["name"])["sizeBytes"] > 1_000_000


def next_slot(namespace: Namespace, schedule: str) -> str:
    slot: str = eventually(lambda: status(namespace, schedule).get("nextScheduleTime"), f"{schedule} is read", 30)
    return slot


def test_after_all_of_them_the_application_serves(namespace: Namespace) -> None:
    namespace.kubectl(
        "rollout", "status", "--timeout=60s", "deployment/backend", "deployment/backup-worker", timeout=70
    )
    eventually(lambda: ready_addresses(namespace, "backend"), "the Service has endpoints", 60)
    assert QuoteNode(namespace.name).create_offer("after the examples")


def ready_addresses(namespace: Namespace, service: str) -> list[str]:
    """A rollout is complete a moment before the Service's endpoints are."""
    slices = namespace.items("endpointslices", f"kubernetes.io/service-name={service}")
    endpoints = [
        endpoint for one in slices for endpoint in one.get("endpoints") or [] if endpoint["conditions"]["ready"]
    ]
    return [address for endpoint in endpoints for address in endpoint["addresses"]]
