"""What it is for: a resource becomes a bundle, and the bundle, opened with plain tools, is what was backed up."""

import json
from collections.abc import Callable

import pytest

from tests.e2e.backups import a_backup, completed, condition, jobs, pods
from tests.e2e.held import EARLY_LOCK, dump_held
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.plain import Restored, open_bundle
from tests.e2e.sessions import open_transaction
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
        before = offers_in(quotenode)
        with dump_held(namespace, quotenode, a_backup("written-to"), EARLY_LOCK):
            begun = offers_in(quotenode)
            eventually(lambda: offers_in(quotenode) > begun + 50, "people have written on during the dump", 60)
        status = completed(namespace, "written-to")
    finally:
        quotenode.set_writes_per_second(0)

    restored = open_bundle(namespace, status)

    assert len(status["attempts"]) == 1
    assert before <= rows_in(restored, "offers") <= begun, "it is not as things were when the dump began"
    assert rows_in(restored, "documents") == restored.named_files - images_in(quotenode)
    assert restored.named_files_missing == 0


def offers_in(quotenode: QuoteNode) -> int:
    return int(quotenode.psql("SELECT count(*) FROM offers"))


def images_in(quotenode: QuoteNode) -> int:
    return int(quotenode.psql("SELECT count(DISTINCT image_path) FROM products"))


def rows_in(restored: Restored, table: str) -> int:
    facts = [json.loads(line) for line in restored.database]
    [rows] = [fact for fact in facts if fact["kind"] == "rows" and fact["name"] == ["public", table]]
    return int(rows["count"])


def test_a_transaction_that_is_open_during_the_dump_is_not_in_it(namespace: Namespace, quotenode: QuoteNode) -> None:
    committed = quotenode.database_fingerprint()
    with open_transaction(quotenode, "UPDATE customers SET name = name || ' (never)'"):
        namespace.apply(a_backup("half-done"))
        status = completed(namespace, "half-done")

    restored = open_bundle(namespace, status)

    assert len(status["attempts"]) == 1
    assert restored.database == committed


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
