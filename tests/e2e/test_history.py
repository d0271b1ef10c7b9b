"""The resources of old runs: a schedule lets those above its limits go, and never one whose bundle exists."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.backups import a_backup, status
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.waiting import eventually

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("history")


def a_run(name: str, schedule: Json) -> Json:
    marks = {"schedule": schedule["metadata"]["name"], "schedule-uid": schedule["metadata"]["uid"]}
    run = a_backup(name)
    run["metadata"]["labels"] = {f"backup.quotenode.io/{key}": value for key, value in marks.items()}
    return run


def ended(namespace: Namespace, name: str, number: int, *kinds: str) -> None:
    """Write the status that an operator would have written `number` minutes ago."""
    when = f"{NOW - timedelta(minutes=number):%Y-%m-%dT%H:%M:%SZ}"
    told = {"reason": "Told", "message": "", "lastTransitionTime": when, "observedGeneration": 1, "status": "True"}
    conditions = [told | {"type": kind} for kind in kinds]
    body = {"status": {"conditions": conditions, "startTime": when, "completionTime": when, "sizeBytes": number}}
    namespace.kubectl(
        "patch", "quotenodebackup", name, "--subresource=status", "--type=merge", f"--patch={json.dumps(body)}"
    )


def left(namespace: Namespace) -> set[str]:
    found = namespace.items("quotenodebackups", "backup.quotenode.io/schedule=night")
    return {run["metadata"]["name"] for run in found}


def test_the_oldest_runs_go_and_what_is_known_of_them_stays(namespace: Namespace, tmp_path: Path) -> None:
    limits = {"successfulRunsHistoryLimit": 0, "failedRunsHistoryLimit": 2}
    namespace.apply(a_backup("night", schedule="0 0 1 1 *", **limits))
    schedule = namespace.get("quotenodebackup", "night")
    assert schedule
    names = ["kept", "pruned", *(f"failed-{number}" for number in range(5))]
    namespace.apply(*(a_run(name, schedule) for name in names))
    ended(namespace, "kept", 9, "Accepted", "Complete", "LocalBundlePresent")
    ended(namespace, "pruned", 8, "Accepted", "Complete")
    for number in range(5):
        ended(namespace, f"failed-{number}", number, "Accepted", "Failed")

    with OperatorProcess(namespace.name, tmp_path / "operator.log"):
        eventually(lambda: left(namespace) == {"kept", "failed-0", "failed-1"}, "the old ones are gone", 60)

    told = status(namespace, "night")
    assert (told["lastSizeBytes"], told["lastRun"]["name"][:6]) == (8, "failed")
    assert datetime.fromisoformat(told["lastFailedTime"]) == NOW.replace(microsecond=0)
