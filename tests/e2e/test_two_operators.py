"""Two operators and ten backups of one database: no leader, and still one dump at a time, each exactly once."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.backups import a_backup, completed, jobs, lock_is_free, status
from tests.e2e.claims import files_in
from tests.e2e.kubectl import Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import DATABASE_POD, QuoteNode
from tests.e2e.waiting import eventually

NAMES = [f"run-{number}" for number in range(10)]
# One row each tenth of a second: how many runs have a dump going, told apart by the session that holds their lock.
SAMPLE = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = 'quotenode' AND application_name = 'pg_dump' \\watch 0.1\n"
)


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("two-operators")


@contextmanager
def sampled_dumps(namespace: Namespace) -> Iterator[list[int]]:
    """What ten looks a second say of the number of dumps, while the block runs."""
    psql = ("psql", "-XAtq", "--username=postgres", "--dbname=quotenode")
    command = ["kubectl", f"--namespace={namespace.name}", "exec", "--stdin", DATABASE_POD, "--", *psql]
    seen: list[int] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        output = process.stdout
        reader = threading.Thread(target=lambda: seen.extend(int(line) for line in output if line.strip()))
        reader.start()
        process.stdin.write(SAMPLE)
        process.stdin.flush()
        try:
            yield seen
            assert reader.is_alive(), "the samples ended early"
        finally:
            process.kill()
            reader.join(10)


def test_ten_backups_under_two_operators_run_one_at_a_time_and_once_each(
    namespace: Namespace, deploy: Callable[[Namespace], QuoteNode], tmp_path: Path
) -> None:
    deploy(namespace)
    with (
        OperatorProcess(namespace.name, tmp_path / "first.log"),
        OperatorProcess(namespace.name, tmp_path / "second.log"),
        sampled_dumps(namespace) as dumps,
    ):
        namespace.apply(*(a_backup(name) for name in NAMES))
        holder = eventually(lambda: waited_for(namespace), "a backup says which one it waits for", 60)
        ended = [completed(namespace, name, within=240) for name in NAMES]
        eventually(lambda: lock_is_free(namespace), "the lock is free", 30)

    assert holder in NAMES
    assert max(dumps) == 1, "two dumps of one database at once"
    assert dumps.count(1) > 0, "no dump was ever seen: the samples show nothing"
    assert [seen["attempts"][-1]["number"] for seen in ended] == [1] * len(NAMES)
    assert [len(jobs(namespace, name)) for name in NAMES] == [1] * len(NAMES)
    assert len({seen["checksum"] for seen in ended}) == len(NAMES)
    assert bundles_on_the_claim(namespace) == sorted(seen["destinations"][0]["path"] for seen in ended)


def waited_for(namespace: Namespace) -> str | None:
    """The name in the sentence of a run that waits."""
    for name in NAMES:
        seen = status(namespace, name)
        told = str(seen.get("message"))
        # Who was only a moment too late for the lock names nobody.
        if seen.get("reason") == "WaitingForTarget" and told.startswith("Waiting for "):
            return told.removeprefix("Waiting for ").split(",")[0]
    return None


def bundles_on_the_claim(namespace: Namespace) -> list[str]:
    """Paths below the claim's root of everything with a bundle's name."""
    return [path for path in files_in(namespace, "quotenode-backups") if path.endswith(".tar.gz")]
