"""QuoteNode's defaults as one manifest, examples/02-schedule.yaml, against the sections of its handbook: Scheduling, Backup Timeout,
Backup Retention, Metadata & Audit Trail."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from quotenode_backup.domain.naming import trigger_run_name
from tests.e2e.aftermath import BUNDLES, bundles_in
from tests.e2e.backups import completed, condition, failed, finished, jobs, status
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import EXAMPLES, QuoteNode
from tests.e2e.waiting import eventually

NIGHTLY: Json = yaml.safe_load((EXAMPLES / "02-schedule.yaml").read_text())
SECOND = timedelta(seconds=1)
"""Times in a status have no parts of it."""
HANDBOOK = (EXAMPLES.parent / "docs" / "quotenode.md").read_text()


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("seed-defaults")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(namespace)


@pytest.fixture(scope="module")
def nightly(
    namespace: Namespace, quotenode: QuoteNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., str]]:
    """The example, applied. Gives what asks it for a run by a value of `trigger` and says how the run is called."""
    with OperatorProcess(namespace.name, tmp_path_factory.mktemp("operator") / "operator.log"):
        namespace.kubectl("apply", f"--filename={EXAMPLES / '02-schedule.yaml'}")
        body = namespace.get("quotenodebackup", "nightly")
        assert body

        def triggered(value: str, **changes: Any) -> str:
            patch = json.dumps({"spec": changes | {"trigger": value}})
            namespace.kubectl("patch", "quotenodebackup", "nightly", "--type=merge", f"--patch={patch}")
            name = trigger_run_name("nightly", body["metadata"]["uid"], value)
            eventually(lambda: namespace.get("quotenodebackup", name), f"{name} is made", 30)
            return name

        yield triggered


@pytest.fixture(scope="module")
def run(nightly: Callable[..., str]) -> str:
    """A run that a person asked for."""
    return nightly("by hand")


def row_of(namespace: Namespace, quotenode: QuoteNode, name: str) -> Json:
    """What backup_logs has of a run."""
    body = namespace.get("quotenodebackup", name)
    assert body
    asked = f"SELECT row_to_json(entry) FROM backup_logs AS entry WHERE id::text = '{body['metadata']['uid']}'"
    row: Json = json.loads(quotenode.psql(asked))
    return row


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Scheduling


@pytest.mark.usefixtures("nightly")
def test_the_next_backup_is_at_two_in_the_morning(namespace: Namespace) -> None:
    next_slot = eventually(lambda: status(namespace, "nightly").get("nextScheduleTime"), "it is scheduled", 30)
    now = datetime.now(UTC)
    today = now.replace(hour=2, minute=0, second=0, microsecond=0)
    assert time_of(next_slot) == (today if now < today else today + timedelta(days=1))
    assert status(namespace, "nightly")["phase"] == "Scheduled"


@pytest.mark.usefixtures("nightly")
def test_it_can_be_disabled_and_enabled(namespace: Namespace) -> None:
    def switched(suspend: bool, phase: str) -> None:
        patch = json.dumps({"spec": {"suspend": suspend}})
        namespace.kubectl("patch", "quotenodebackup", "nightly", "--type=merge", f"--patch={patch}")
        eventually(lambda: status(namespace, "nightly")["phase"] == phase, f"it is {phase}", 30)

    switched(True, "Suspended")
    assert "nextScheduleTime" not in status(namespace, "nightly")
    switched(False, "Scheduled")


def test_an_administrator_can_start_one_at_once(namespace: Namespace, run: str) -> None:
    seen = completed(namespace, run)
    assert seen["initiatedBy"] == "Admin"
    assert set(seen["components"]) == {"database", "files"}
    eventually(lambda: "lastSuccessfulTime" in status(namespace, "nightly"), "the schedule knows of it", 30)
    assert status(namespace, "nightly")["lastTrigger"] == "by hand"
    assert status(namespace, "nightly")["lastRun"]["name"] == run


# What every run is made with


def test_a_run_has_the_defaults(namespace: Namespace, run: str) -> None:
    completed(namespace, run)
    spec = (namespace.get("quotenodebackup", run) or {})["spec"]
    assert spec["activeDeadlineSeconds"] == 1800
    assert spec["retention"] == {"keepLast": 7}
    assert spec["mode"] == "Online"
    assert spec["auditLog"] == "Enabled"
    assert spec["deletionPolicy"] == "Retain"
    assert spec["files"] == NIGHTLY["spec"]["files"]
    assert spec["storage"]["local"]["claimName"] == NIGHTLY["spec"]["storage"]["local"]["claimName"]
    (job,) = jobs(namespace, run)
    assert 1700 < job["spec"]["activeDeadlineSeconds"] <= 1800


@pytest.mark.usefixtures("nightly")
def test_the_warning_comes_after_48_hours_without_a_success(namespace: Namespace) -> None:
    spec = (namespace.get("quotenodebackup", "nightly") or {})["spec"]
    assert timedelta(seconds=spec["staleAfterSeconds"]) == timedelta(hours=48)
    stale = eventually(lambda: condition(status(namespace, "nightly"), "Stale"), "it says how old the last is", 30)
    assert stale["status"] == "False"


# Metadata & Audit Trail


def test_a_successful_backup_is_tracked(namespace: Namespace, quotenode: QuoteNode, run: str) -> None:
    seen = completed(namespace, run)
    assert condition(seen, "AuditLogged")["status"] == "True"
    row = row_of(namespace, quotenode, run)
    place = seen["destinations"][0]
    assert (row["status"], row["initiated_by"]) == ("COMPLETED", "ADMIN")
    assert time_of(row["started_at"]) == time_of(seen["startTime"])
    assert time_of(row["started_at"]) < time_of(row["completed_at"]) < time_of(seen["completionTime"]) + SECOND
    assert (row["size_bytes"], row["checksum_sha256"]) == (seen["sizeBytes"], seen["checksum"])
    assert row["destination"] == f"pvc://{place['claimName']}/{place['path']}"
    assert row["error_message"] is None


def test_a_failed_backup_is_tracked_too(
    namespace: Namespace, quotenode: QuoteNode, nightly: Callable[..., str]
) -> None:
    wrong = [{"name": "uploads", "claimName": "quotenode-files", "subPath": "nowhere"}]
    name = nightly("to fail", files=wrong)
    try:
        seen = failed(namespace, name, "SourcePathMissing", 60)
    finally:
        namespace.kubectl("apply", f"--filename={EXAMPLES / '02-schedule.yaml'}")
    row = row_of(namespace, quotenode, name)
    assert (row["status"], row["initiated_by"]) == ("FAILED", "ADMIN")
    assert time_of(row["started_at"]) == time_of(seen["startTime"])
    assert time_of(row["started_at"]) <= time_of(row["completed_at"]) < time_of(seen["completionTime"]) + SECOND
    assert (row["size_bytes"], row["checksum_sha256"]) == (None, None)
    assert row["error_message"] == f"{seen['reason']}: {seen['message']}"


def test_the_most_recent_backups_are_listed_as_the_page_says(
    namespace: Namespace, quotenode: QuoteNode, run: str
) -> None:
    completed(namespace, run)
    (query,) = (block.split("```")[0] for block in HANDBOOK.split("```sql\n")[1:])
    listed = quotenode.psql(query).splitlines()
    assert len(listed) == int(quotenode.psql("SELECT count(*) FROM backup_logs"))
    assert any("|ADMIN|" in line and status(namespace, run)["checksum"] in line for line in listed)
    newest = namespace.kubectl("get", "qnb", "--sort-by=.metadata.creationTimestamp", "--output=name").split()
    assert f"quotenodebackup.backup.quotenode.io/{run}" in newest


# Backup Retention


def test_the_seven_newest_bundles_stay(namespace: Namespace, nightly: Callable[..., str], run: str) -> None:
    first = completed(namespace, run)
    later = []
    for number in range(7):
        name = nightly(f"number {number}")
        later.append(finished(namespace, name, 120)["destinations"][0]["path"])

    assert bundles_in(namespace, BUNDLES) == set(later)
    assert first["destinations"][0]["path"] not in later
    present = eventually(lambda: pruned(status(namespace, run)), f"{run} says that its bundle is gone", 30)
    assert present["reason"] == "Pruned"


def pruned(seen: Json) -> Json:
    """Condition LocalBundlePresent, once it is false."""
    found = condition(seen, "LocalBundlePresent")
    return found if found.get("status") == "False" else {}
