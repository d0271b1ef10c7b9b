"""Retention on a disk or a server that does not do as it should. What it does on one that does is tested in the image."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

import pytest

import quotenode_backup
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.results import RetentionOutcome
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.retention import is_among
from quotenode_backup.runner.bundle.manifest import target
from quotenode_backup.runner.process import threads
from quotenode_backup.runner.store import inventory, retention
from quotenode_backup.runner.store.folder import BundleFolder, opened
from quotenode_backup.runner.store.removal import Removal
from quotenode_backup.runner.store.retention import Guard
from tests import bundle_maker
from tests.unit.fakes.site import DUMP, IS_KILLED, RESTORES, make_plan, make_restorer, plan_fields

NOW = datetime.now(UTC).replace(microsecond=0)
SYSTEM = 7_000_000_000_000_000_001
ROOT = Path(__file__).parents[4]
PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)


def held() -> None:
    """The lock is."""


@pytest.fixture
def plan() -> BackupPlan:
    return make_plan()


@pytest.fixture
def folder(tmp_path: Path, plan: BackupPlan) -> Path:
    """Holds the run's own bundle, and one of each of the four days before."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    put(folder, plan, 0, plan.run_uid)
    for days in range(1, 5):
        put(folder, plan, days, f"run-{days}")
    return folder


def put(folder: Path, plan: BackupPlan, days: int, run_uid: str, dump: bytes = DUMP) -> None:
    made = bundle_maker.manifest(target(plan, SYSTEM), run_uid, NOW - timedelta(days=days), dump)
    bundle_maker.put(folder / name(days), made, dump)


def name(days: int) -> str:
    return f"bundle-{days}.tar.gz"


def applied(
    folder: Path, plan: BackupPlan, keep_last: int = 2, check_lock: Callable[[], None] = held, script: str = RESTORES
) -> tuple[RetentionOutcome, list[int]]:
    """And how old the bundles are that stay."""
    restorer, guard = make_restorer(folder.parent, script), Guard(check_lock, lambda: False)
    with opened(folder, []) as open_folder:
        outcome = retention.apply(open_folder, plan, keep_last, name(0), guard, restorer)
    return outcome, [days for days in range(5) if (folder / name(days)).exists()]


def rot(folder: Path, days: int) -> None:
    """One bit, behind the middle."""
    content = bytearray((folder / name(days)).read_bytes())
    content[len(content) * 3 // 4] ^= 1
    (folder / name(days)).write_bytes(content)


def test_a_bundle_that_there_is_no_time_to_read_counts_by_its_size(folder: Path, plan: BackupPlan) -> None:
    put(folder, plan, 1, "run-1", DUMP + os.urandom(1_000_000))
    rot(folder, 1)
    outcome, staying = applied(folder, late())
    assert (outcome.problem, staying) == (None, [0, 1])


def late() -> BackupPlan:
    """Its deadline is over, so there is no time to read anything to its end."""
    return make_plan(deadline=datetime.now(UTC).isoformat())


def test_the_beginning_of_a_bundle_is_read_even_without_time(folder: Path, plan: BackupPlan) -> None:
    (folder / name(1)).write_bytes(bytes((folder / name(1)).stat().st_size))
    outcome, staying = applied(folder, late())
    assert outcome.problem
    assert name(1) in outcome.problem
    assert staying == [0, 1, 2]


def test_without_time_a_file_with_holes_does_not_count(folder: Path, plan: BackupPlan) -> None:
    put(folder, plan, 1, "run-1", DUMP + os.urandom(1_000_000))
    size = (folder / name(1)).stat().st_size
    os.truncate(folder / name(1), size // 2)
    os.truncate(folder / name(1), size)
    outcome, staying = applied(folder, late())
    assert outcome.problem
    assert staying == [0, 1, 2]


def test_a_rotten_bundle_does_not_count_if_there_is_time_to_read_it(folder: Path, plan: BackupPlan) -> None:
    rot(folder, 1)
    outcome, staying = applied(folder, plan)
    assert outcome.problem
    assert name(1) in outcome.problem
    assert staying == [0, 1, 2]


def test_without_the_databases_lock_nothing_is_removed(folder: Path, plan: BackupPlan) -> None:
    def lost() -> None:
        raise RunFailed(Reason.SOURCE_CONNECTION_LOST, "The lock was lost.")

    outcome, staying = applied(folder, plan, check_lock=lost)
    assert (outcome.pruned, staying) == (0, [0, 1, 2, 3, 4])
    assert outcome.problem
    assert "The lock was lost." in outcome.problem
    assert outcome.survivors is not None
    assert all(is_among(f"run-{days}", outcome.survivors) for days in range(1, 5))


def test_the_bundle_of_the_run_must_be_in_the_folder_with_its_record(folder: Path, plan: BackupPlan) -> None:
    (folder / f"{name(0)}.manifest.json").unlink()
    outcome, staying = applied(folder, plan)
    assert outcome.problem
    assert "lacks the bundle of this run" in outcome.problem
    assert (outcome.survivors, staying) == (None, [0, 1, 2, 3, 4])


def test_a_disk_that_hangs_is_not_waited_for(folder: Path, plan: BackupPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RECHECK_SECONDS", 0.2)
    monkeypatch.setattr(retention, "REMOVAL_SECONDS", 1.0)
    monkeypatch.setattr(threads, "STOP_SECONDS", 0.2)
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


def test_what_was_removed_is_told_although_a_spoilt_record_hides_who_is_left(folder: Path, plan: BackupPlan) -> None:
    (folder / f"{name(3)}.manifest.json").write_text('{"completed": "soon"}')
    outcome, staying = applied(folder, plan, keep_last=1)
    assert (outcome.pruned, outcome.survivors, staying) == (3, None, [0, 3])
    assert outcome.removed is not None
    assert [is_among(f"run-{days}", outcome.removed) for days in (1, 2, 3, 4)] == [True, True, False, True]


def test_survivors_are_left_out_if_there_are_too_many(
    folder: Path, plan: BackupPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "MOST_SURVIVORS", 3)
    outcome, staying = applied(folder, plan, keep_last=4)
    assert (outcome.pruned, outcome.survivors, outcome.problem, staying) == (1, None, None, [0, 1, 2, 3])
    assert applied(folder, plan, keep_last=3)[0].survivors


def test_a_bundle_whose_pin_came_late_is_not_removed(folder: Path, plan: BackupPlan) -> None:
    def pin() -> None:
        (folder / f"{name(4)}.keep").touch()

    outcome, staying = applied(folder, plan, check_lock=pin)
    assert (outcome.pruned, staying) == (2, [0, 1, 4])


def test_junk_with_a_matching_record_pushes_no_bundle_out(folder: Path, plan: BackupPlan) -> None:
    for days in (1, 2):
        made = bundle_maker.manifest(target(plan, SYSTEM), f"run-{days}", NOW - timedelta(days=days), DUMP)
        (folder / name(days)).write_bytes(os.urandom(5000))
        bundle_maker.record(folder / name(days), made)
    outcome, staying = applied(folder, plan, keep_last=3)
    assert outcome.problem
    assert f"{name(1)} and 1 more: no longer the bundle that was stored" in outcome.problem
    assert staying == [0, 1, 2, 3, 4]


def test_a_dump_that_cannot_be_listed_does_not_count(folder: Path, plan: BackupPlan) -> None:
    put(folder, plan, 1, "run-1", b"no dump at all")
    outcome, staying = applied(folder, plan)
    assert outcome.problem
    assert staying == [0, 1, 2]


def test_a_pg_restore_that_is_killed_blames_no_bundle_and_nothing_is_removed(folder: Path, plan: BackupPlan) -> None:
    outcome, staying = applied(folder, plan, script=IS_KILLED)
    assert staying == [0, 1, 2, 3, 4]
    assert outcome.problem
    assert outcome.problem.startswith("Not every older bundle was removed: pg_restore was killed by SIGKILL")
    assert outcome.problem.endswith("raise spec.pod.resources.limits.memory.")


def test_a_bundle_far_larger_than_the_newer_ones_stays_and_the_problem_says_what_to_do(
    folder: Path, plan: BackupPlan
) -> None:
    put(folder, plan, 4, "run-4", DUMP + os.urandom(200_000))
    outcome, staying = applied(folder, plan)
    assert outcome.problem == (
        f"{name(4)}: dump or files over 10 times as large as in newer ones, so it stays: "
        "if the data really shrank, remove it by hand."
    )
    assert staying == [0, 1, 4]


def test_the_bundle_of_a_later_release_is_neither_counted_nor_removed(folder: Path, plan: BackupPlan) -> None:
    for days in (1, 4):
        record = folder / f"{name(days)}.manifest.json"
        record.write_bytes(record.read_bytes().replace(b'"formatVersion": 1', b'"formatVersion": 3'))
    outcome, staying = applied(folder, plan)
    assert staying == [0, 1, 2, 4]
    assert outcome.survivors is not None
    assert [is_among(f"run-{days}", outcome.survivors) for days in (1, 2, 3, 4)] == [True, True, False, True]
    assert outcome.problem
    assert "of a later release of this operator" in outcome.problem


def test_a_bundle_with_a_manifest_of_a_later_format_inside_does_not_count_and_it_is_said_why(
    folder: Path, plan: BackupPlan, caplog: pytest.LogCaptureFixture
) -> None:
    made = bundle_maker.manifest(target(plan, SYSTEM), "run-1", NOW - timedelta(days=1), DUMP)
    later = made.to_json().replace(b'"formatVersion": 1', b'"formatVersion": 3')
    bundle_maker.pack(folder / name(1), bundle_maker.members(later, DUMP))
    bundle_maker.record(folder / name(1), made)
    outcome, staying = applied(folder, plan)
    assert staying == [0, 1, 2]
    assert outcome.problem
    assert name(1) in outcome.problem
    assert f"{name(1)} does not count: the manifest in it is of format 3, which only a later release" in caplog.text


def test_an_old_bundle_without_a_record_is_named_and_other_archives_are_not(folder: Path, plan: BackupPlan) -> None:
    lost, *others = "quotenode-backup-1.tar.gz", "quotenode-backup-2.tar.gz", "mine.tar.gz"
    for path in (folder / other for other in (lost, *others)):
        path.touch()
        if path.name != others[0]:
            os.utime(path, (0, 0))
    outcome, _ = applied(folder, plan)
    assert outcome.problem == f"{lost}: has no commit record, left as it is."


@pytest.mark.parametrize("refused", ["bundle-2.tar.gz.manifest.json", "bundle-2.tar.gz"])
def test_a_file_that_cannot_be_read_blocks_no_other_removal(
    folder: Path, plan: BackupPlan, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = BundleFolder.file

    def refuse_one(self: BundleFolder, name: str) -> FileIO:
        if name == refused:
            raise OSError(5, "Input/output error")
        return file(self, name)

    monkeypatch.setattr(BundleFolder, "file", refuse_one)
    outcome, staying = applied(folder, plan, keep_last=3)
    assert staying == [0, 1, 2, 3]
    assert outcome.pruned == 1
    assert outcome.problem
    assert refused in outcome.problem


def test_a_bundle_that_cannot_be_removed_blocks_no_other_removal(
    folder: Path, plan: BackupPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = Removal.remove

    def refuse_one(self: Removal, bundle: str) -> None:
        if bundle == name(4):
            raise OSError(5, "Input/output error", bundle)
        remove(self, bundle)

    monkeypatch.setattr(Removal, "remove", refuse_one)
    outcome, staying = applied(folder, plan)
    assert staying == [0, 1, 4]
    assert outcome.problem == f"Not every older bundle was removed: Input/output error ({name(4)})."


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
def test_the_sentence_about_a_run_has_a_clause_about_retention(outcome: RetentionOutcome | None, said: str) -> None:
    assert retention.clause(outcome) == said


TOLD_TO_STOP = """
import os, signal, sys
from pathlib import Path
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.runner.process.signals import Signals, Unfinished
from quotenode_backup.runner.store import retention
from quotenode_backup.runner.store.folder import opened
from tests.unit.fakes.site import make_restorer

def told():
    os.kill(os.getpid(), signal.SIGTERM)
    while not signals.is_stop_requested:
        pass

signals = Signals(Unfinished("", ""))
signals.block()
guard = retention.Guard(told, lambda: signals.is_stop_requested)
path = Path(sys.argv[1])
plan = BackupPlan.model_validate_json(sys.argv[2])
with opened(path, []) as folder:
    outcome = retention.apply(folder, plan, 1, "bundle-0.tar.gz", guard, make_restorer(path.parent))
print(outcome.model_dump_json())
"""


def test_retention_ends_and_says_so_when_the_pod_is_told_to_stop(folder: Path) -> None:
    """In a process of its own: signal handlers belong to a whole process."""
    command = [sys.executable, "-c", TOLD_TO_STOP, str(folder), json.dumps(plan_fields())]
    done = subprocess.run(
        command,
        env={"PYTHONPATH": f"{PACKAGE}:{ROOT}", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    outcome = RetentionOutcome.model_validate_json(done.stdout)
    assert outcome.pruned == 1
    assert outcome.problem
    assert "the next one goes on with it" in outcome.problem
    assert [days for days in range(5) if (folder / name(days)).exists()] == [0, 1, 2, 3]
