"""Deleted at any moment: nothing hangs, nothing runs on, the lock is free, and what was finished stays."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.aftermath import (
    BUNDLES,
    bundles_in,
    no_lock_and_no_session,
    nothing_left_and_works_again,
    whole_bundles_in,
)
from tests.e2e.backups import a_backup, completed, jobs, pods, status
from tests.e2e.held import dump_held
from tests.e2e.kubectl import Namespace, kubectl
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace]) -> Namespace:
    return watched("deletion")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(namespace)


def delete(namespace: Namespace, name: str) -> None:
    """As a person does, who waits until it is gone."""
    namespace.delete("quotenodebackup", name, options=["--timeout=30s"])


def all_gone(namespace: Namespace, name: str) -> None:
    eventually(lambda: not (jobs(namespace, name) or pods(namespace, name)), f"Job and pods of {name} are gone", 60)


def test_deleted_right_after_it_was_made(namespace: Namespace, quotenode: QuoteNode) -> None:
    namespace.apply(a_backup("at-once"))
    delete(namespace, "at-once")

    all_gone(namespace, "at-once")
    nothing_left_and_works_again(namespace, quotenode, "at-once")


def test_deleted_as_soon_as_it_has_a_job(namespace: Namespace, quotenode: QuoteNode) -> None:
    namespace.apply(a_backup("with-job"))
    eventually(lambda: jobs(namespace, "with-job"), "it has a Job", 60)
    delete(namespace, "with-job")

    all_gone(namespace, "with-job")
    nothing_left_and_works_again(namespace, quotenode, "with-job")


def test_deleted_in_the_middle_of_the_dump(namespace: Namespace, quotenode: QuoteNode) -> None:
    before = bundles_in(namespace, BUNDLES)
    with dump_held(namespace, quotenode, a_backup("dumping")):
        delete(namespace, "dumping")
        all_gone(namespace, "dumping")

    assert bundles_in(namespace, BUNDLES) == before
    nothing_left_and_works_again(namespace, quotenode, "dumping")


def test_deleted_while_it_waits_for_another_it_leaves_the_other_alone(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    with dump_held(namespace, quotenode, a_backup("holder")):
        namespace.apply(a_backup("waiting"))
        eventually(lambda: status(namespace, "waiting").get("reason") == "WaitingForTarget", "it waits", 60)
        assert "holder" in status(namespace, "waiting")["message"]
        delete(namespace, "waiting")
        all_gone(namespace, "waiting")

    assert len(completed(namespace, "holder")["attempts"]) == 1
    nothing_left_and_works_again(namespace, quotenode, "waiting")


def test_deleted_when_finished_its_bundle_stays(namespace: Namespace, quotenode: QuoteNode) -> None:
    namespace.apply(a_backup("finished"))
    path = completed(namespace, "finished")["destinations"][0]["path"]
    delete(namespace, "finished")

    all_gone(namespace, "finished")
    no_lock_and_no_session(namespace, quotenode)
    assert path in whole_bundles_in(namespace, BUNDLES)


def test_the_whole_namespace_deleted_in_the_middle_of_a_run_goes_and_the_operator_stays(
    own_namespace: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode], tmp_path: Path
) -> None:
    doomed = own_namespace("deletion-doomed")
    deploy(doomed)
    with OperatorProcess(doomed.name, tmp_path / "operator.log") as operator:
        doomed.apply(a_backup("doomed"))
        doomed.kubectl("wait", "qnb/doomed", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
        kubectl("delete", "namespace", doomed.name, "--timeout=115s")

        assert operator.process.poll() is None
