"""What restores are for: what a backup holds comes back whole, what it replaced can come back too, and a dry run changes nothing."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from quotenode_backup.domain.naming import trigger_run_name
from tests.e2e.backups import a_backup, completed, condition
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.restores import (
    Data,
    a_restore,
    allow_restores,
    an_undo,
    backed_up,
    damaged,
    data_of,
    jobs_of,
    nothing_left,
    refused,
    restored,
    serves,
    status,
)
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

FILES_STAND_STILL = "cd /app/data; find uploads pdfs -printf '%p %m %T@ %C@\\n' | sort"


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("restore")


@pytest.fixture(scope="module")
def quotenode(
    namespace: Namespace, deploy: Callable[[Namespace], QuoteNode], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[QuoteNode]:
    deployed = deploy(namespace)
    allow_restores(namespace, deployed)
    with OperatorProcess(namespace.name, tmp_path_factory.mktemp("restore") / "operator.log"):
        yield deployed


@pytest.fixture(scope="module")
def good(namespace: Namespace, quotenode: QuoteNode) -> Data:
    """What the backup `good` holds."""
    return backed_up(namespace, quotenode)


def test_a_dry_run_reads_all_of_it_and_changes_nothing(namespace: Namespace, quotenode: QuoteNode, good: Data) -> None:
    before = damaged(quotenode)
    entries = stat_of_files(quotenode)
    namespace.apply(a_restore("plan", dryRun=True))
    ended = restored(namespace, "plan")

    assert (ended["kind"], ended["reason"]) == ("DryRun", "PlanOnly")
    assert condition(ended, "Restored")["status"] == "False"
    assert ended["plan"]["tables"] > 0
    assert ended["plan"]["entries"] > 0
    assert "database quotenode" in ended["plan"]["overwritten"]
    assert data_of(quotenode) == before
    assert before != good
    assert stat_of_files(quotenode) == entries
    assert not jobs_of(namespace, "plan", "load")
    nothing_left(namespace, quotenode)


def stat_of_files(quotenode: QuoteNode) -> str:
    """Modes and times, also those of the last change of an inode, which a walk for an fsGroup would change."""
    return quotenode.kubectl("exec", "deployment/backend", "--container=backend", "--", "sh", "-euc", FILES_STAND_STILL)


def test_a_restore_brings_everything_back_and_its_undo_the_damage(
    namespace: Namespace, quotenode: QuoteNode, good: Data
) -> None:
    before = damaged(quotenode)
    namespace.apply(a_restore("back"))
    ended = restored(namespace, "back")

    assert data_of(quotenode) == good
    assert ended["kind"] == "Whole"
    assert ended["swapSeconds"] < 5
    assert {c["type"] for c in ended["conditions"] if c["status"] == "True"} >= {
        "Complete",
        "Verified",
        "Restored",
        "ReplacedDataKept",
        "Healthy",
    }
    serves(quotenode)

    namespace.apply(an_undo("undone", of="back"))
    assert restored(namespace, "undone")["kind"] == "Undo"
    assert data_of(quotenode) == before
    serves(quotenode)


def test_what_is_kept_is_removed_with_the_restore(namespace: Namespace, quotenode: QuoteNode, good: Data) -> None:
    for name in ("undone", "back"):
        namespace.delete("quotenoderestore", name, options=["--timeout=120s"])
    namespace.apply(a_restore("at-once", keepReplacedSeconds=0))
    restored(namespace, "at-once")
    assert data_of(quotenode) == good
    nothing_left(namespace, quotenode)
    eventually(
        lambda: condition(status(namespace, "at-once"), "ReplacedDataKept").get("status") == "False", "it says so", 60
    )


def test_the_newest_backup_from_before_the_damage_is_restored_and_no_later_one(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    namespace.apply(a_backup("nightly", schedule="0 3 1 1 *", retention={"keepLast": 7}))
    healthy = data_of(quotenode)
    first = run_now(namespace, "healthy")
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    damaged(quotenode)
    run_now(namespace, "damaged")

    source = {"backupName": None, "latestOf": {"schedule": "nightly", "before": moment}}
    namespace.apply(a_restore("newest", source=source))

    assert restored(namespace, "newest")["source"]["run"] == first
    assert data_of(quotenode) == healthy


def run_now(namespace: Namespace, trigger: str) -> str:
    patch = json.dumps({"spec": {"trigger": trigger}})
    namespace.kubectl("patch", "quotenodebackup", "nightly", "--type=merge", f"--patch={patch}")
    schedule = namespace.get("quotenodebackup", "nightly") or {}
    name = trigger_run_name("nightly", schedule["metadata"]["uid"], trigger)
    eventually(lambda: namespace.get("quotenodebackup", name), f"{name} is made", 30)
    completed(namespace, name)
    return name


REFUSED: dict[str, tuple[Json, str, str]] = {
    "other-hash": ({"source": {"sha256": "0" * 64}}, "BundleInvalid", "spec.source.sha256 asks for another one"),
    "no-backup": ({"source": {"backupName": "never"}}, "SourceMissing", "There is no QuoteNodeBackup never"),
    "no-room": ({"database": {"freeSpace": "1Mi"}}, "NoSpace", "enlarge the volume by at least"),
    "no-claim": ({"database": {"freeSpace": None}}, "NoSpace", "set spec.database.claimName"),
    "other-name": ({"database": {"name": "postgres"}}, "OtherDatabase", "spec.database.allowOtherDatabase"),
    "no-admin": ({"database": {"adminCredentialsSecretRef": None}}, "PermissionDenied", "adminCredentialsSecretRef"),
    "no-secret": ({"database": {"credentialsSecretRef": {"name": "nothing"}}}, "SecretMissing", "nothing"),
}


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_restored_is_refused_before_anything_is_changed(
    namespace: Namespace, quotenode: QuoteNode, name: str
) -> None:
    changes, reason, sentence = REFUSED[name]
    before = data_of(quotenode)
    namespace.apply(a_restore(name, **changes))
    ended = refused(namespace, name, reason, sentence)

    assert condition(ended, "Restored")["status"] == "False"
    assert "stopTime" not in ended
    assert data_of(quotenode) == before
    nothing_left(namespace, quotenode)


def test_two_restores_and_a_backup_of_one_database_go_one_at_a_time(
    namespace: Namespace, quotenode: QuoteNode, good: Data
) -> None:
    namespace.apply(a_restore("one"), a_restore("two"), a_backup("beside"))
    for name in ("one", "two"):
        restored(namespace, name)
    completed(namespace, "beside")
    assert data_of(quotenode) == good
    times = sorted(
        (status(namespace, name)["startTime"], status(namespace, name)["completionTime"]) for name in ("one", "two")
    )
    assert times[0][1] <= times[1][0]


def test_a_downloaded_bundle_on_a_claim_is_restored_without_its_resource(
    namespace: Namespace, quotenode: QuoteNode, good: Data
) -> None:
    bundle = completed(namespace, "good")
    damaged(quotenode)
    place = bundle["destinations"][0]
    archive = {"claimName": place["claimName"], "path": place["path"]}
    files = [{"name": name, "claimName": "quotenode-files", "subPath": name} for name in ("uploads", "pdfs")]
    source = {"backupName": None, "archive": archive, "sha256": bundle["checksum"]}
    namespace.apply(a_restore("from-archive", source=source, files=files))
    restored(namespace, "from-archive")
    assert data_of(quotenode) == good
