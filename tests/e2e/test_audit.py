"""QuoteNode's table backup_logs says the same as the resources, whatever happened."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.backups import a_backup, completed, condition, failed, finished, killed_for_its_memory, status
from tests.e2e.held import dump_held
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace]) -> Namespace:
    return watched("audit")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(namespace)


def rows(quotenode: QuoteNode) -> dict[str, Json]:
    """By id."""
    said = quotenode.psql("SELECT coalesce(json_agg(b), '[]') FROM backup_logs b")
    return {row["id"]: row for row in json.loads(said)}


def logged(namespace: Namespace, name: str, within: float = 60) -> Json:
    """The status of a run whose row is written."""

    def found() -> Json | None:
        seen = status(namespace, name)
        return seen if condition(seen, "AuditLogged").get("status") == "True" else None

    return eventually(found, f"the row of {name} is written", within)


def uid(namespace: Namespace, name: str) -> str:
    body = namespace.get("quotenodebackup", name)
    assert body
    return str(body["metadata"]["uid"])


def assert_row_is_the_resource(namespace: Namespace, quotenode: QuoteNode, name: str) -> None:
    seen, row = logged(namespace, name), rows(quotenode)[uid(namespace, name)]
    expected: dict[str, Any] = {
        "status": seen["phase"].upper(),
        "initiated_by": seen["initiatedBy"].upper(),
        "size_bytes": seen.get("sizeBytes"),
        "checksum_sha256": seen.get("checksum"),
    }
    assert {key: row[key] for key in expected} == expected
    assert row["completed_at"] is not None
    if seen["phase"] == "Completed":
        assert row["destination"] == f"pvc://quotenode-backups/{seen['destinations'][0]['path']}"
        assert row["error_message"] is None
    else:
        assert row["error_message"] == f"{seen['reason']}: {seen['message']}"


def test_a_backup_is_a_row_that_runs_and_then_is_completed(namespace: Namespace, quotenode: QuoteNode) -> None:
    with dump_held(namespace, quotenode, a_backup("good")):
        row = rows(quotenode)[uid(namespace, "good")]
        assert (row["status"], row["initiated_by"], row["completed_at"]) == ("RUNNING", "ADMIN", None)
    completed(namespace, "good")
    assert_row_is_the_resource(namespace, quotenode, "good")


def test_a_run_that_fails_is_a_row_with_the_reason(namespace: Namespace, quotenode: QuoteNode) -> None:
    files = [{"name": "none", "claimName": "quotenode-files", "subPath": "not-there"}]
    namespace.apply(a_backup("fails", files=files))
    failed(namespace, "fails", "SourcePathMissing", 120)
    assert_row_is_the_resource(namespace, quotenode, "fails")


def test_a_run_that_never_starts_is_a_row(namespace: Namespace, quotenode: QuoteNode) -> None:
    namespace.apply(a_backup("apart", files=[{"name": "none", "claimName": "not-there"}]))
    failed(namespace, "apart", "ClaimMissing", 130)
    assert_row_is_the_resource(namespace, quotenode, "apart")


def test_a_run_that_is_killed_for_its_memory_is_a_row(namespace: Namespace, quotenode: QuoteNode) -> None:
    too_little = {"requests": {"memory": "24Mi"}, "limits": {"memory": "24Mi"}}
    namespace.apply(a_backup("starved", backoffLimit=0, pod={"fsGroup": 1000, "resources": too_little}))
    killed_for_its_memory(namespace, "starved", 120)
    assert_row_is_the_resource(namespace, quotenode, "starved")


def test_a_run_that_ends_at_its_deadline_is_a_row(namespace: Namespace, quotenode: QuoteNode) -> None:
    with dump_held(namespace, quotenode, a_backup("late", activeDeadlineSeconds=90)):
        failed(namespace, "late", "DeadlineExceeded", 120)
    assert_row_is_the_resource(namespace, quotenode, "late")


def test_a_run_that_is_deleted_in_the_middle_leaves_a_row_that_says_so(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    with dump_held(namespace, quotenode, a_backup("deleted")):
        gone = uid(namespace, "deleted")
        namespace.delete("quotenodebackup", "deleted", options=["--timeout=30s"])
        eventually(lambda: rows(quotenode)[gone]["status"] == "FAILED", "the row says that it was interrupted", 40)
    assert rows(quotenode)[gone]["error_message"].startswith("Interrupted: ")


def test_a_database_that_was_down_gets_its_rows_when_it_is_up_again(namespace: Namespace, quotenode: QuoteNode) -> None:
    namespace.kubectl("scale", "statefulset/quotenode-db", "--replicas=0")
    namespace.kubectl("wait", "pod/quotenode-db-0", "--for=delete", "--timeout=90s")
    namespace.apply(a_backup("unreachable", backoffLimit=0))
    failed(namespace, "unreachable", "SourceUnreachable", 90)
    pending = eventually(
        lambda: condition(status(namespace, "unreachable"), "AuditLogged").get("message", "").startswith("Tried"),
        "a Job has tried to write the row",
        90,
    )
    assert pending
    assert condition(status(namespace, "unreachable"), "AuditLogged")["reason"] == "AuditPending"
    namespace.kubectl("scale", "statefulset/quotenode-db", "--replicas=1")
    namespace.kubectl("rollout", "status", "statefulset/quotenode-db", "--timeout=120s")
    logged(namespace, "unreachable", 180)
    assert_row_is_the_resource(namespace, quotenode, "unreachable")


def test_a_table_of_another_shape_is_left_alone_and_the_backup_completes(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    quotenode.psql(
        "ALTER TABLE backup_logs RENAME TO hidden; CREATE TABLE backup_logs (id bigint PRIMARY KEY, note text)"
    )
    quotenode.psql("ALTER TABLE backup_logs OWNER TO quotenode; INSERT INTO backup_logs VALUES (7, 'mine')")
    namespace.apply(a_backup("unfit"))
    seen = completed(namespace, "unfit")
    found = condition(seen, "AuditLogged")
    assert (found["status"], found["reason"]) == ("False", "AuditTableUnfit")
    assert "backup_logs" in found["message"]
    assert quotenode.psql("SELECT * FROM backup_logs") == "7|mine"
    quotenode.psql("DROP TABLE backup_logs; ALTER TABLE hidden RENAME TO backup_logs")


def test_without_rights_the_condition_says_so_and_the_backup_completes(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    quotenode.psql("ALTER TABLE backup_logs OWNER TO postgres; GRANT SELECT ON backup_logs TO quotenode")
    namespace.apply(a_backup("no-rights"))
    found = condition(completed(namespace, "no-rights"), "AuditLogged")
    assert (found["status"], found["reason"]) == ("False", "PermissionDenied")
    assert "GRANT" in found["message"]
    quotenode.psql("ALTER TABLE backup_logs OWNER TO quotenode")


def test_disabled_no_row_is_written(namespace: Namespace, quotenode: QuoteNode) -> None:
    namespace.apply(a_backup("silent", auditLog="Disabled"))
    assert condition(completed(namespace, "silent"), "AuditLogged") == {}
    assert uid(namespace, "silent") not in rows(quotenode)


def test_an_operator_that_starts_anew_sees_to_the_rows(
    own_namespace: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode], tmp_path: Path
) -> None:
    namespace = own_namespace("audit-restart")
    quotenode = deploy(namespace)
    with (
        OperatorProcess(namespace.name, tmp_path / "first.log") as first,
        dump_held(namespace, quotenode, a_backup("survivor")),
    ):
        first.kill()
    with OperatorProcess(namespace.name, tmp_path / "second.log", QN_RESYNC_SECONDS="5"):
        completed(namespace, "survivor")
        namespace.apply(a_backup("never", files=[{"name": "none", "claimName": "not-there"}]))
        eventually(lambda: status(namespace, "never").get("reason") == "ClaimMissing", "it waits for its claim", 30)
    with OperatorProcess(namespace.name, tmp_path / "third.log", QN_RESYNC_SECONDS="5"):
        finished(namespace, "never", 130)
        for name in ("survivor", "never"):
            assert_row_is_the_resource(namespace, quotenode, name)
