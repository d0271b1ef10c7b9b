"""The operator goes away in the middle of a run: the run does not notice, and its end is found afterwards."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.backups import a_backup, completed, jobs
from tests.e2e.held import dump_held
from tests.e2e.kubectl import Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("restart")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(namespace)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name.lower())
def test_a_run_goes_on_without_the_operator_and_is_harvested_later(
    namespace: Namespace, quotenode: QuoteNode, how: signal.Signals, tmp_path: Path
) -> None:
    name = f"alone-{how.name.lower()}"
    with (
        OperatorProcess(namespace.name, tmp_path / "first.log") as first,
        dump_held(namespace, quotenode, a_backup(name)),
    ):
        started = time.monotonic()
        first.process.send_signal(how)
        code = first.wait(within=10)
        took = time.monotonic() - started
    eventually(lambda: job_is_over(namespace, name), "the Job ends with no operator", 60)

    with OperatorProcess(namespace.name, tmp_path / "second.log"):
        status = completed(namespace, name, within=30)

    assert code == (0 if how is signal.SIGTERM else -signal.SIGKILL)
    assert took < 10
    assert len(jobs(namespace, name)) == len(status["attempts"]) == 1


def job_is_over(namespace: Namespace, name: str) -> bool:
    return any(c["status"] == "True" for job in jobs(namespace, name) for c in job["status"].get("conditions", []))
