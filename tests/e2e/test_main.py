"""What it is for: a resource becomes a bundle, and the bundle, opened with plain tools, is what was backed up."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.backups import a_backup, completed, condition, jobs, pods
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.plain import open_bundle
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace]) -> Namespace:
    return watched("main")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(namespace)


def test_the_bundle_opened_with_plain_tools_is_the_database_and_the_files(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    namespace.apply(a_backup("whole"))
    status = completed(namespace, "whole")

    restored = open_bundle(namespace, status)

    assert restored.database == quotenode.database_fingerprint()
    assert restored.files == quotenode.files_fingerprint()
    assert restored.named_files_missing == 0


def test_while_people_write_the_bundle_is_one_moment_and_has_every_file_that_its_rows_name(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    quotenode.set_writes_per_second(40)
    try:
        before = quotenode.offers_written()
        namespace.apply(a_backup("written-to"))
        status = completed(namespace, "written-to")
        assert quotenode.offers_written() > before, "nobody wrote: the story is not told"
    finally:
        quotenode.set_writes_per_second(0)

    restored = open_bundle(namespace, status)

    assert restored.named_files > 0
    assert restored.named_files_missing == 0


def test_a_transaction_that_is_open_during_the_dump_is_not_in_it(namespace: Namespace, quotenode: QuoteNode) -> None:
    committed = quotenode.database_fingerprint()
    with open_transaction(quotenode, "UPDATE customers SET name = name || ' (never)'"):
        namespace.apply(a_backup("half-done"))
        status = completed(namespace, "half-done")

    restored = open_bundle(namespace, status)

    assert restored.database == committed


@contextmanager
def open_transaction(quotenode: QuoteNode, statement: str) -> Iterator[None]:
    """A statement that is done and not committed, and never will be."""
    mark = "open-transaction"
    script = f"SET application_name = '{mark}'; BEGIN; {statement}; SELECT pg_sleep(600); ROLLBACK;"
    thread = threading.Thread(target=_psql_until_ended, args=(quotenode, script), daemon=True)
    thread.start()
    try:
        _eventually_sleeping(quotenode, mark)
        yield
    finally:
        quotenode.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{mark}'")
        thread.join(20)


def _psql_until_ended(quotenode: QuoteNode, script: str) -> None:
    try:
        quotenode.psql(script)
    except (AssertionError, OSError):
        return  # its session was ended, as meant


def _eventually_sleeping(quotenode: QuoteNode, mark: str) -> None:
    found = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{mark}' AND wait_event = 'PgSleep'"
    eventually(lambda: quotenode.psql(found) == "1", "the transaction is open", 20)


def test_backups_of_two_databases_in_one_claim_do_not_mix(namespace: Namespace, quotenode: QuoteNode) -> None:
    quotenode.psql("CREATE DATABASE other OWNER quotenode", database="postgres")
    namespace.apply(a_backup("one"), a_backup("two", database={"name": "other"}, files=[]))

    folders = [completed(namespace, name)["destinations"][0]["path"].split("/")[0] for name in ("one", "two")]

    assert len(set(folders)) == 2
    assert all(folder.startswith(f"{namespace.name}-") for folder in folders)


@pytest.mark.usefixtures("quotenode")
def test_the_pod_runs_where_the_files_are_as_the_user_who_has_them(namespace: Namespace) -> None:
    namespace.apply(a_backup("placed"))
    completed(namespace, "placed")

    [pod] = pods(namespace, "placed")
    [backend] = namespace.items("pods", "app.kubernetes.io/name=backend")

    assert pod["spec"]["nodeName"] == backend["spec"]["nodeName"]
    assert pod["spec"]["securityContext"]["runAsUser"] == 1000
    assert pod["spec"]["automountServiceAccountToken"] is False


@pytest.mark.usefixtures("quotenode")
def test_a_run_is_one_job_and_tells_its_transitions_once(namespace: Namespace) -> None:
    namespace.apply(a_backup("told"))
    status = completed(namespace, "told")

    assert [job["metadata"]["name"] for job in jobs(namespace, "told")] == [status["jobName"]]
    assert [event["reason"] for event in events_of(namespace, "told")] == ["JobCreated", "Completed"]
    assert condition(status, "Verified")["status"] == "True"
    assert {c["observedGeneration"] for c in status["conditions"]} == {1}


def events_of(namespace: Namespace, name: str) -> list[Json]:
    found = namespace.items("events", fields=f"involvedObject.kind=QuoteNodeBackup,involvedObject.name={name}")
    return sorted(found, key=lambda event: str(event["eventTime"]))
