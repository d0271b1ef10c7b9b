"""Retention on a disk or a server that does not do as it should. What it does on one that does is tested in the image."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import quotenode_backup
from quotenode_backup.contract import Plan, RetentionOutcome
from quotenode_backup.domain.errors import Reason, RunFailed
from quotenode_backup.domain.retention import is_among
from quotenode_backup.runner import destination, retention, supervision
from quotenode_backup.runner.destination import Folder
from tests.unit.runner.site import make_places, make_plan, plan_fields

NOW = datetime.now(UTC).replace(microsecond=0)
PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)


def held() -> None:
    """The lock is."""


@pytest.fixture
def plan() -> Plan:
    return make_plan()


@pytest.fixture
def folder(tmp_path: Path, plan: Plan) -> Folder:
    """The run's own bundle, and one of each of the four days before."""
    folder = destination.prepare(make_places(tmp_path).destination, plan, "a1b2c3d4", "pod-1")
    put(folder, plan, 0, plan.run_uid)
    for days in range(1, 5):
        put(folder, plan, days, f"run-{days}")
    return folder


def put(folder: Folder, plan: Plan, days: int, run_uid: str) -> None:
    content = os.urandom(1000)
    sha256 = hashlib.sha256(content).hexdigest()
    record = {
        "runUid": run_uid,
        "namespace": plan.namespace,
        "completed": (NOW - timedelta(days=days)).isoformat(),
        "target": {"host": plan.database.host, "port": plan.database.port, "database": plan.database.name},
        "bundle": {"name": name(days), "sizeBytes": len(content), "sha256": sha256},
    }
    (folder.path / name(days)).write_bytes(content)
    (folder.path / f"{name(days)}.sha256").touch()
    (folder.path / f"{name(days)}.manifest.json").write_text(json.dumps(record))


def name(days: int) -> str:
    return f"bundle-{days}.tar.gz"


def applied(
    folder: Folder, plan: Plan, keep_last: int = 2, check_lock: Callable[[], None] = held
) -> tuple[RetentionOutcome, list[int]]:
    """And how old the bundles are that stay."""
    outcome = retention.apply(folder, plan, keep_last, name(0), check_lock)
    return outcome, [days for days in range(5) if (folder.path / name(days)).exists()]


def rot(folder: Folder, days: int) -> None:
    (folder.path / name(days)).write_bytes(bytes(1000))


def test_a_bundle_that_there_is_no_time_to_read_counts_by_its_size(folder: Folder) -> None:
    late = make_plan(deadline=datetime.now(UTC).isoformat())
    rot(folder, 1)
    outcome, staying = applied(folder, late)
    assert (outcome.problem, staying) == (None, [0, 1])


def test_with_time_to_read_it_does_not_count(folder: Folder, plan: Plan) -> None:
    rot(folder, 1)
    outcome, staying = applied(folder, plan)
    assert outcome.problem
    assert name(1) in outcome.problem
    assert staying == [0, 1, 2]


def test_without_the_databases_lock_nothing_is_removed(folder: Folder, plan: Plan) -> None:
    def lost() -> None:
        raise RunFailed(Reason.SOURCE_CONNECTION_LOST, "The lock was lost.")

    outcome, staying = applied(folder, plan, check_lock=lost)
    assert (outcome.pruned, staying) == (0, [0, 1, 2, 3, 4])
    assert outcome.problem
    assert "The lock was lost." in outcome.problem
    assert outcome.survivors is not None
    assert all(is_among(f"run-{days}", outcome.survivors) for days in range(1, 5))


def test_the_bundle_of_the_run_must_be_in_the_folder_with_its_record(folder: Folder, plan: Plan) -> None:
    (folder.path / f"{name(0)}.manifest.json").unlink()
    outcome, staying = applied(folder, plan)
    assert outcome.problem
    assert "lacks the bundle of this run" in outcome.problem
    assert (outcome.survivors, staying) == (None, [0, 1, 2, 3, 4])


def test_a_disk_that_hangs_is_not_waited_for(folder: Folder, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RECHECK_SECONDS", 0.2)
    monkeypatch.setattr(retention, "REMOVAL_SECONDS", 1.0)
    monkeypatch.setattr(supervision, "STOP_SECONDS", 0.2)
    released, hung = threading.Event(), threading.Event()

    def hangs() -> None:
        hung.set()
        released.wait(20)

    outcome, staying = applied(folder, plan, check_lock=hangs)
    assert hung.is_set()
    assert outcome.problem
    assert "does not answer in time" in outcome.problem
    assert (outcome.pruned, outcome.survivors, staying) == (0, None, [0, 1, 2, 3, 4])
    released.set()


def test_too_many_survivors_to_tell_are_not_told(folder: Folder, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_SURVIVORS", 3)
    outcome, staying = applied(folder, plan, keep_last=4)
    assert (outcome.pruned, outcome.survivors, outcome.problem, staying) == (1, None, None, [0, 1, 2, 3])
    assert applied(folder, plan, keep_last=3)[0].survivors


def test_a_bundle_whose_pin_came_late_is_not_removed(folder: Folder, plan: Plan) -> None:
    def pin() -> None:
        (folder.path / f"{name(4)}.keep").touch()

    outcome, staying = applied(folder, plan, check_lock=pin)
    assert (outcome.pruned, staying) == (2, [0, 1, 4])


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (None, ""),
        (RetentionOutcome(survivors="abcdef"), ""),
        (RetentionOutcome(pruned=1), " 1 older bundle was removed."),
        (RetentionOutcome(pruned=2, problem="So."), " 2 older bundles were removed. Retention: So."),
        (RetentionOutcome(problem="So."), " Retention: So."),
    ],
)
def test_the_sentence_of_a_run_has_a_clause_for_it(outcome: RetentionOutcome | None, said: str) -> None:
    assert retention.clause(outcome) == said


TOLD_TO_STOP = """
import os, signal, sys
from pathlib import Path
from quotenode_backup.contract import Plan
from quotenode_backup.runner import interruption, retention
from quotenode_backup.runner.destination import Folder

def told():
    os.kill(os.getpid(), signal.SIGTERM)
    while not interruption.is_noted():
        pass

interruption.only_note()
path = Path(sys.argv[1])
outcome = retention.apply(Folder(path, path, "c", "s", "p"), Plan.model_validate_json(sys.argv[2]), 1, "bundle-0.tar.gz", told)
print(outcome.model_dump_json())
"""


def test_told_to_stop_it_removes_no_more_and_says_so(folder: Folder) -> None:
    """In a process of its own: signal handlers belong to a whole process."""
    command = [sys.executable, "-c", TOLD_TO_STOP, str(folder.path), json.dumps(plan_fields())]
    done = subprocess.run(command, env={"PYTHONPATH": PACKAGE}, capture_output=True, text=True, timeout=30, check=True)
    outcome = RetentionOutcome.model_validate_json(done.stdout)
    assert outcome.pruned == 1
    assert outcome.problem
    assert "the next one goes on with it" in outcome.problem
    assert [days for days in range(5) if (folder.path / name(days)).exists()] == [0, 1, 2, 3]
