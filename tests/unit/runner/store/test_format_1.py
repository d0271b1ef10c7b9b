"""A bundle that the last release of format 1 made from a real database and real files. It is still read everywhere."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from quotenode_backup.contract.manifest import CommitRecord
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.runner.bundle.reader import Reading
from quotenode_backup.runner.store import committed
from quotenode_backup.runner.store.destination import Destination
from quotenode_backup.runner.store.inventory import take_inventory
from quotenode_backup.runner.store.stored import flaw
from tests.unit.fakes.site import a_destination, folder_of, make_plan, make_restorer

FIXTURE = Path(__file__).parents[3] / "format1"
NAME = "quotenode-backup-20260301-023015.tar.gz"
SYSTEM = 7714076247557847002


@pytest.fixture
def plan() -> BackupPlan:
    """Of the run that made it."""
    plan = make_plan()
    return plan.model_copy(update={"database": plan.database.model_copy(update={"host": "127.0.0.1", "port": 54399})})


@pytest.fixture
def destination(tmp_path: Path, plan: BackupPlan) -> Iterator[Destination]:
    with a_destination(tmp_path, plan) as destination:
        shutil.copytree(FIXTURE, folder_of(destination), dirs_exist_ok=True)
        yield destination


def record_in(destination: Destination) -> CommitRecord:
    record = destination.folder.record(f"{NAME}.manifest.json", NAME)
    assert isinstance(record, CommitRecord)
    return record


def test_its_record_is_read_and_written_byte_for_byte(destination: Destination) -> None:
    record = record_in(destination)
    assert record.format_version == 1
    assert [member.member for member in record.stored_members] == ["backup.dump", "files.tar.gz"]
    assert record.to_json() == (FIXTURE / f"{NAME}.manifest.json").read_bytes()


def test_nothing_is_wrong_with_it(destination: Destination) -> None:
    restorer = make_restorer(destination.claim.root)
    assert flaw(destination.folder, record_in(destination), Reading(restorer)) == ""


def test_the_run_that_made_it_finds_it_and_reports_its_parts(destination: Destination, plan: BackupPlan) -> None:
    restorer = make_restorer(destination.claim.root)
    found = committed.find(
        destination.folder, plan, SYSTEM, lambda folder, record: flaw(folder, record, Reading(restorer))
    )
    assert found == record_in(destination)
    result = committed.result(plan, destination, found, "was found")
    assert result.bundle
    assert result.bundle.files
    assert result.leftovers == 0


def test_retention_counts_it(destination: Destination, plan: BackupPlan) -> None:
    found = take_inventory(destination.folder, plan, NAME)
    assert list(found.records) == [NAME]
    assert list(found.oddities()) == []
