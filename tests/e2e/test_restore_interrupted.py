"""Operators, pods and servers that die in the middle of a restore, and restores that are deleted then.

Before its swap nothing has changed, after it everything has, and the application always serves in the end.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.kubectl import Json, Namespace
from tests.e2e.nodes import on_node
from tests.e2e.operators import OperatorProcess
from tests.e2e.restores import (
    Data,
    a_restore,
    allow_restores,
    backed_up,
    damaged,
    data_of,
    finished,
    is_up,
    jobs_of,
    nothing_left,
    reaches,
    restored,
    serves,
)
from tests.e2e.standin.quotenode import DATABASE_POD, QuoteNode
from tests.e2e.waiting import eventually

STAGES = ("Verifying", "Loading", "Stopping", "Swapping", "Starting")


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("restore-cut")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    deployed = deploy(namespace)
    allow_restores(namespace, deployed)
    return deployed


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("restore-cut") / "operator.log"


@pytest.fixture(scope="module")
def good(namespace: Namespace, quotenode: QuoteNode, log: Path) -> Data:
    with OperatorProcess(namespace.name, log):
        return backed_up(namespace, quotenode)


@pytest.fixture
def operator(namespace: Namespace, log: Path) -> Iterator[OperatorProcess]:
    with OperatorProcess(namespace.name, log, QN_RESYNC_SECONDS="5") as process:
        yield process


def briefly(name: str) -> Json:
    """A restore that keeps nothing of what it replaces."""
    return a_restore(name, keepReplacedSeconds=0)


@pytest.mark.parametrize("stage", STAGES)
def test_an_operator_that_is_killed_in_any_stage_restores_all_the_same(
    namespace: Namespace, quotenode: QuoteNode, good: Data, log: Path, stage: str
) -> None:
    damaged(quotenode)
    name = f"killed-{stage.lower()}"
    with OperatorProcess(namespace.name, log) as first:
        namespace.apply(briefly(name))
        reaches(namespace, name, stage)
        first.kill()
    with OperatorProcess(namespace.name, log):
        restored(namespace, name)
        assert data_of(quotenode) == good
        nothing_left(namespace, quotenode)
        serves(quotenode)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.usefixtures("operator")
def test_a_restore_that_is_deleted_in_any_stage_leaves_whole_data_and_nothing_else(
    namespace: Namespace, quotenode: QuoteNode, good: Data, stage: str
) -> None:
    before = damaged(quotenode)
    name = f"deleted-{stage.lower()}"
    namespace.apply(briefly(name))
    reaches(namespace, name, stage)
    namespace.delete("quotenoderestore", name, options=["--timeout=180s"])

    is_up(quotenode)
    found = data_of(quotenode)
    assert found in (before, good), "neither what was there before nor what was backed up"
    if stage in ("Verifying", "Loading"):
        assert found == before
    nothing_left(namespace, quotenode)
    serves(quotenode)


def delete_pod(namespace: Namespace, pod: Json) -> None:
    namespace.delete("pod", pod["metadata"]["name"], options=["--wait=false"])


def kill_runner(_: Namespace, pod: Json) -> None:
    """SIGKILL from the node for every process of the pod."""
    on_node(
        'for p in /proc/[0-9]*; do tr "\\0" "\\n" < "$p/environ" 2>/dev/null'
        f' | grep -qx "POD_UID={pod["metadata"]["uid"]}" && kill -9 "${{p#/proc/}}"; done; true',
        pod["spec"]["nodeName"],
    )


@pytest.mark.parametrize("kill", [delete_pod, kill_runner], ids=["pod deleted", "runner killed"])
@pytest.mark.parametrize("step", ["verify", "load", "swap"])
@pytest.mark.usefixtures("operator")
def test_a_pod_that_is_killed_is_made_up_for(
    namespace: Namespace, quotenode: QuoteNode, good: Data, step: str, kill: Callable[[Namespace, Json], None]
) -> None:
    damaged(quotenode)
    name = f"{step}-{kill.__name__.replace('_', '-')}"
    namespace.apply(a_restore(name, keepReplacedSeconds=0, backoffLimit=3))
    kill(namespace, pod_of(namespace, name, step))
    restored(namespace, name)
    assert data_of(quotenode) == good
    nothing_left(namespace, quotenode)
    serves(quotenode)


def pod_of(namespace: Namespace, name: str, step: str) -> Json:
    """The pod of a step as soon as a node has it."""

    def found() -> Json | None:
        [*jobs] = jobs_of(namespace, name, step)
        pods = [pod for job in jobs for pod in namespace.items("pods", f"job-name={job['metadata']['name']}")]
        return next((pod for pod in pods if pod["spec"].get("nodeName")), None)

    return eventually(found, f"the pod of {name}'s {step} has a node", 120)


@pytest.mark.usefixtures("operator")
def test_a_server_that_is_killed_in_the_middle_of_the_swap_has_one_side_or_the_other(
    namespace: Namespace, quotenode: QuoteNode, good: Data
) -> None:
    before = damaged(quotenode)
    namespace.apply(a_restore("server-killed", keepReplacedSeconds=0, backoffLimit=3))
    pod_of(namespace, "server-killed", "swap")
    namespace.delete("pod", DATABASE_POD, options=["--grace-period=1"])
    ended = finished(namespace, "server-killed", 300)

    is_up(quotenode)
    assert data_of(quotenode) == (good if ended["phase"] == "Completed" else before)
    nothing_left(namespace, quotenode)
    namespace.apply(briefly("server-next"))
    restored(namespace, "server-next")
    assert data_of(quotenode) == good


def test_two_operators_restore_once(namespace: Namespace, quotenode: QuoteNode, good: Data, tmp_path: Path) -> None:
    damaged(quotenode)
    with (
        OperatorProcess(namespace.name, tmp_path / "first.log"),
        OperatorProcess(namespace.name, tmp_path / "second.log"),
    ):
        namespace.apply(briefly("under-two"))
        restored(namespace, "under-two")
        assert data_of(quotenode) == good
        assert len(jobs_of(namespace, "under-two", "swap")) == 1
        nothing_left(namespace, quotenode)
        serves(quotenode)
