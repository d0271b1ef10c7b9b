"""What the stories share: namespaces that are new in each run, the installed operator, and a QuoteNode where one is needed.

Each story file has a namespace of its own, so that stories can run side by side. The installed operator watches those of
`WATCHED`; stories that kill operators, or look into them, start their own in a namespace that no other watches.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import cluster as clusters
from tests.cluster import engine as engines
from tests.cluster import images
from tests.cluster.cache import Cache, default_root
from tests.cluster.cluster import Cluster
from tests.e2e import operators, volumes
from tests.e2e.distribution import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from tests.e2e.forks import Forks
from tests.e2e.kubectl import LABEL, Namespace, Refused, kubectl
from tests.e2e.standin.quotenode import QuoteNode

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_make_scheduler"]

WATCHED = (
    "main",
    "status",
    "faults",
    "network",
    "deletion",
    "names",
    "volumes",
    "admission",
    "examples",
    "placement",
    "quota",
    "root",
    "retention",
    "audit",
)


@pytest.fixture(scope="session")
def run_id() -> str:
    """The same in all processes of one run of the tests."""
    return os.environ.get("E2E_RUN_ID") or os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid():x}")[-6:]


@pytest.fixture(scope="session")
def operator(run_id: str, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An operator watches all of `WATCHED`: the one of the chart, or with E2E_LOCAL_OPERATOR=1 a process of this machine, which
    leaves other people's runs on the same cluster alone."""
    names = [namespace_name(story, run_id) for story in WATCHED]
    if os.environ.get("E2E_LOCAL_OPERATOR"):
        volumes.make_class()
        for name in names:
            make_namespace(name, run_id)
        log = tmp_path_factory.mktemp("operator") / "operator.log"
        with operators.OperatorProcess(",".join(names), log, QN_MAX_CONCURRENT_RUNS="0"):
            yield
        return
    _install_once(names, run_id, shared)
    yield


def _install_once(names: list[str], run_id: str, shared: Path) -> None:
    """The first process of a run that asks does it for all."""
    with (shared / "operator.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = shared / "operator.installed"
        if done.exists():
            return
        _forget_earlier_runs(run_id)
        volumes.make_class()
        volumes.make(run_id)
        for name in names:
            make_namespace(name, run_id)
        operators.install(names)
        done.touch()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests, the same in all of its processes."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _forget_earlier_runs(run_id: str) -> None:
    kubectl("delete", "namespace", f"--selector={LABEL},{LABEL}!={run_id}", "--wait=false", "--ignore-not-found")
    volumes.forget_earlier(run_id)


def namespace_name(story: str, run_id: str) -> str:
    return f"e2e-{story}-{run_id}"


def make_namespace(name: str, run_id: str) -> Namespace:
    """Enforcing Pod Security `restricted`, as a careful cluster does."""
    labels = {LABEL: run_id, "pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    Namespace("default").apply(body)
    return Namespace(name)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()


@pytest.fixture(scope="session")
def watched(run_id: str, operator: None) -> Callable[[str], Namespace]:
    """The namespace of a story, which the installed operator watches."""
    return lambda story: Namespace(namespace_name(story, run_id))


@pytest.fixture(scope="session")
def own_namespace(run_id: str, operator: None) -> Callable[[str], Namespace]:
    """A namespace that no installed operator watches. The chart, installed for the others, brings the CRD."""
    return lambda story: make_namespace(namespace_name(story, run_id), run_id)


@pytest.fixture(scope="session")
def deploy() -> Callable[[Namespace], QuoteNode]:
    """Puts a tiny QuoteNode into a namespace. When the stories of the file are over it is stopped, and can still be looked at."""

    def deployed_for_a_file(namespace: Namespace) -> QuoteNode:
        _deployed_by_this_file.add(namespace.name)
        return deployed(namespace)

    return deployed_for_a_file


_deployed_by_this_file: set[str] = set()


def deployed(namespace: Namespace) -> QuoteNode:
    quotenode = QuoteNode(namespace.name)
    quotenode.deploy()
    return quotenode


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Twenty databases that are asked each two seconds whether they are ready would keep a small machine busy."""
    if nextitem is not None and nextitem.path == item.path:
        return
    for name in _deployed_by_this_file:
        with contextlib.suppress(Refused):  # some stories delete their namespace
            kubectl("scale", "deployments,statefulsets", "--all", "--replicas=0", f"--namespace={name}")
    _deployed_by_this_file.clear()


@pytest.fixture(scope="session")
def newer_server() -> str:
    """The image of a PostgreSQL that is newer than every client, built and in the nodes."""
    cache = Cache(default_root())
    engine = engines.choose(cache)
    image = "localhost/quotenode-newer-server:dev"
    engine.build(Path(__file__).parent / "newer_server", image)
    images.load(Cluster(clusters.chosen_name(), cache, engine), image)
    return image
