"""No more runs at a time than the operator is told to have."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.backups import a_backup, completed, jobs, status
from tests.e2e.held import dump_held
from tests.e2e.kubectl import Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

WORDS = (
    "1 run is at work, and controller.maxConcurrentRuns allows no more: "
    "this one starts by itself as soon as there is room"
)


def test_without_room_a_backup_of_another_database_says_so_and_starts_when_there_is_some(
    own_namespace: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode], tmp_path: Path
) -> None:
    namespace = own_namespace("cap")
    quotenode = deploy(namespace)
    quotenode.psql("CREATE DATABASE second OWNER quotenode", database="postgres")
    with OperatorProcess(namespace.name, tmp_path / "operator.log", QN_MAX_CONCURRENT_RUNS="1"):
        with dump_held(namespace, quotenode, a_backup("first")):
            namespace.apply(a_backup("second", database={"name": "second"}, files=[], auditLog="Disabled"))
            eventually(lambda: told(namespace, "second") == ("WaitingForCapacity", WORDS), "the second one waits", 60)
            assert jobs(namespace, "second") == []
        first, second = (completed(namespace, name) for name in ("first", "second"))

    assert first["completionTime"] <= second["startTime"]


def told(namespace: Namespace, name: str) -> tuple[str | None, str | None]:
    seen = status(namespace, name)
    return seen.get("reason"), seen.get("message")
