"""What of all that says it is of a run is taken for its bundle, and which bundle tells how much room the next one needs."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quotenode_backup.contract.facts import DatabaseFacts
from quotenode_backup.contract.manifest import CommitRecord
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.tables import DumpedTable
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle.manifest import KnownOfDatabase, target
from quotenode_backup.runner.bundle.reader import Reading
from quotenode_backup.runner.bundle.writer import PartialBundle
from quotenode_backup.runner.files.account import Account
from quotenode_backup.runner.store import committed
from quotenode_backup.runner.store.commit import commit
from quotenode_backup.runner.store.destination import Destination
from quotenode_backup.runner.store.folder import BundleFolder
from quotenode_backup.runner.store.stored import flaw
from tests import bundle_maker
from tests.unit.fakes.archives import archived, build
from tests.unit.fakes.site import DUMP, IS_KILLED, RESTORES, STARTED, a_destination, folder_of, make_plan, make_restorer

SYSTEM = 7_000_000_000_000_000_001
FILES = b"files"
NAME = "quotenode-backup-20260301-023015.tar.gz"


@pytest.fixture
def plan() -> BackupPlan:
    return make_plan()


@pytest.fixture
def destination(tmp_path: Path, plan: BackupPlan) -> Iterator[Destination]:
    with a_destination(tmp_path, plan) as destination:
        yield destination


@pytest.fixture
def folder(destination: Destination) -> Path:
    return folder_of(destination)


def put(folder: Path, plan: BackupPlan, dump: bytes = DUMP, **changes: Any) -> CommitRecord:
    """The bundle of the plan's run, but for what is changed."""
    made = bundle_maker.manifest(target(plan, SYSTEM), plan.run_uid, STARTED, dump, FILES).model_copy(update=changes)
    return bundle_maker.put(folder / NAME, made, dump, FILES)


def found(destination: Destination, plan: BackupPlan, script: str = RESTORES) -> CommitRecord | None:
    restorer = make_restorer(destination.claim.root, script)

    def read(folder: BundleFolder, record: CommitRecord) -> str:
        return flaw(folder, record, Reading(restorer))

    return committed.find(destination.folder, plan, SYSTEM, read)


def test_the_bundle_of_an_earlier_attempt_is_found(destination: Destination, folder: Path, plan: BackupPlan) -> None:
    mine = put(folder, plan)
    assert found(destination, plan) == mine


ROWS = b"1\n2\n3\n"
WRITES_ROWS = f"{RESTORES} && printf 'COPY public.customers (id) FROM stdin;\\n1\\n2\\n3\\n\\\\.\\n'"


@pytest.mark.parametrize("rows", [3, 4])
def test_what_a_backup_writes_is_found_if_the_rows_of_the_dump_are_those_in_its_list(
    destination: Destination, folder: Path, plan: BackupPlan, tmp_path: Path, rows: int
) -> None:
    build(tmp_path / "uploads", {b"offer.pdf": (b"files", 0o640, 0)})
    made = archived(tmp_path / "uploads")
    with PartialBundle(destination, plan) as bundle:
        for member, content in ((shape.FILES, made.content), (shape.INDEX, made.index), (shape.DUMP, DUMP)):
            bundle.open(member).write(memoryview(content))
            bundle.close(member)
        bundle.join()
        tables = [
            DumpedTable(schema_name="public", name="customers", rows=rows, sha256=hashlib.sha256(ROWS).hexdigest())
        ]
        known = KnownOfDatabase(DatabaseFacts(owner="quotenode"), tables)
        manifest = bundle.finish(Account(files=1, bytes=5), {"server": "17.10"}, SYSTEM, known)
    written = (folder / destination.partial()).read_bytes()
    mine = commit(destination, manifest.recorded(NAME, len(written), bundle_maker.sha256(written)))
    assert found(destination, plan, WRITES_ROWS) == (mine if rows == 3 else None)


def test_the_order_of_the_members_does_not_matter(destination: Destination, folder: Path, plan: BackupPlan) -> None:
    made = bundle_maker.manifest(target(plan, SYSTEM), plan.run_uid, STARTED, DUMP, FILES)
    members = bundle_maker.members(made, DUMP, FILES)
    bundle_maker.pack(folder / NAME, {name: members[name] for name in sorted(members)})
    mine = bundle_maker.record(folder / NAME, made)
    assert found(destination, plan) == mine


@pytest.mark.parametrize(
    "changes",
    [
        {"run_uid": "another"},
        {"namespace": "another"},
        {"started": STARTED + timedelta(seconds=1)},
        {"target": target(make_plan(), SYSTEM + 1)},
    ],
)
def test_the_bundle_of_another_run_namespace_start_or_server_is_not_found(
    destination: Destination, folder: Path, plan: BackupPlan, changes: dict[str, Any]
) -> None:
    put(folder, plan, **changes)
    assert found(destination, plan) is None


def test_twelve_bytes_with_a_record_are_not_a_bundle(destination: Destination, folder: Path, plan: BackupPlan) -> None:
    (folder / NAME).write_bytes(b"twelve bytes")
    bundle_maker.record(folder / NAME, bundle_maker.manifest(target(plan, SYSTEM), plan.run_uid, STARTED, DUMP))
    assert found(destination, plan) is None
    assert (folder / NAME).read_bytes() == b"twelve bytes"


def test_a_bundle_whose_dump_pg_restore_cannot_read_is_not_found(
    destination: Destination, folder: Path, plan: BackupPlan
) -> None:
    put(folder, plan, dump=b"no dump")
    assert found(destination, plan) is None


def test_a_pg_restore_that_is_killed_is_no_flaw_of_the_bundle(
    destination: Destination, folder: Path, plan: BackupPlan
) -> None:
    """Otherwise the run would make a second bundle."""
    put(folder, plan)
    with pytest.raises(RunFailed) as failure:
        found(destination, plan, IS_KILLED)
    assert failure.value.reason is Reason.CHILD_KILLED


@pytest.mark.parametrize("member", ["files.tar.gz", "backup.dump", "manifest.json", "checksums.sha256"])
@pytest.mark.parametrize("how", ["changed", "missing", "one more", "twice"])
def test_a_bundle_whose_members_differ_from_its_record_is_not_found(
    destination: Destination, folder: Path, plan: BackupPlan, member: str, how: str
) -> None:
    made = bundle_maker.manifest(target(plan, SYSTEM), plan.run_uid, STARTED, DUMP, FILES)
    members = bundle_maker.members(made, DUMP, FILES)
    again = [(member, members[member])] if how == "twice" else []
    if how == "changed":
        members[member] = members[member].replace(b"e", b"f", 1) + b"\n"
    elif how == "missing":
        del members[member]
    elif how == "one more":
        members[f"{member}.more"] = members[member]
    bundle_maker.pack_members(folder / NAME, [*members.items(), *again])
    bundle_maker.record(folder / NAME, made)
    assert found(destination, plan) is None


def test_a_bundle_whose_manifest_differs_from_its_record_is_not_found(
    destination: Destination, folder: Path, plan: BackupPlan
) -> None:
    theirs = bundle_maker.manifest(target(plan, SYSTEM), "another", STARTED, DUMP, FILES)
    mine = bundle_maker.manifest(target(plan, SYSTEM), plan.run_uid, STARTED, DUMP, FILES)
    bundle_maker.pack(folder / NAME, bundle_maker.members(theirs, DUMP, FILES))
    bundle_maker.record(folder / NAME, mine)
    assert found(destination, plan) is None


def bundle_with_manifest(folder: Path, plan: BackupPlan, change: Callable[[dict[str, Any]], object]) -> CommitRecord:
    """Its hashes are right. The change is in the bundle alone, not in the commit record."""
    made = bundle_maker.manifest(target(plan, SYSTEM), plan.run_uid, STARTED, DUMP, FILES)
    fields = json.loads(made.to_json())
    change(fields)
    bundle_maker.pack(folder / NAME, bundle_maker.members(json.dumps(fields).encode(), DUMP, FILES))
    return bundle_maker.record(folder / NAME, made)


def test_fields_that_a_later_release_adds_to_the_manifest_inside_are_ignored(
    destination: Destination, folder: Path, plan: BackupPlan
) -> None:
    mine = bundle_with_manifest(folder, plan, lambda fields: fields["database"].update(encoding="UTF8"))
    assert found(destination, plan) == mine


def test_a_manifest_of_a_later_format_inside_is_refused_and_it_is_said_why(
    destination: Destination, folder: Path, plan: BackupPlan, caplog: pytest.LogCaptureFixture
) -> None:
    bundle_with_manifest(folder, plan, lambda fields: fields.update(formatVersion=3))
    assert found(destination, plan) is None
    assert "the manifest in it is of format 3, which only a later release of this operator can read" in caplog.text


@pytest.mark.parametrize("run_uid", [make_plan().run_uid, "another"])
def test_a_record_of_a_later_format_is_logged_and_fails_its_own_run(
    destination: Destination, folder: Path, plan: BackupPlan, run_uid: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the run would make a second bundle."""
    (folder / f"{NAME}.manifest.json").write_text(json.dumps({"formatVersion": 3, "runUid": run_uid}))
    if run_uid == plan.run_uid:
        with pytest.raises(RunFailed, match="of format 3, which only a later release") as failure:
            found(destination, plan)
        assert failure.value.reason is Reason.FILE_UNREADABLE
    else:
        assert found(destination, plan) is None
    assert f"The commit record of bundle {NAME} is of format 3" in caplog.text


def test_a_link_is_not_followed(destination: Destination, folder: Path, plan: BackupPlan) -> None:
    put(folder, plan)
    (folder / NAME).rename(destination.claim.root / "elsewhere")
    (folder / NAME).symlink_to(destination.claim.root / "elsewhere")
    assert found(destination, plan) is None


def test_a_good_bundle_is_found_beside_a_record_that_cannot_be_read(
    destination: Destination, folder: Path, plan: BackupPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = put(folder, plan)
    forbidden = "a.tar.gz.manifest.json"
    (folder / forbidden).write_text("{}")
    file = BundleFolder.file
    monkeypatch.setattr(BundleFolder, "file", lambda self, name: refuse() if name == forbidden else file(self, name))
    assert found(destination, plan) == mine


def test_a_bundle_that_does_not_answer_is_left_out_and_hides_no_other(
    destination: Destination, folder: Path, plan: BackupPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, silent = put(folder, plan), bundle_of(folder, plan, 1, 100, run_uid=plan.run_uid, started=STARTED).name
    status = BundleFolder.status
    monkeypatch.setattr(BundleFolder, "status", lambda self, name: refuse() if name == silent else status(self, name))
    assert found(destination, plan) == mine
    assert committed.last_size(destination.folder, plan, SYSTEM) > 0


def refuse() -> None:
    raise PermissionError(13, "Permission denied")


def bundle_of(folder: Path, plan: BackupPlan, days: int, size: int, **changes: Any) -> Path:
    """A committed bundle that takes about so many bytes on the disk."""
    path = folder / f"bundle-{days}.tar.gz"
    dump = os.urandom(size)
    made = bundle_maker.manifest(target(plan, SYSTEM), "run", datetime.now(UTC) - timedelta(days=days), dump, FILES)
    bundle_maker.put(path, made.model_copy(update=changes), dump, FILES)
    return path


def test_the_last_size_is_that_of_the_newest_bundle_with_the_same_volumes(
    destination: Destination, folder: Path, plan: BackupPlan
) -> None:
    bundle_of(folder, plan, 3, 900_000)
    bundle_of(folder, plan, 2, 100_000)
    bundle_of(folder, plan, 1, 700_000, files=None)
    assert 100_000 <= committed.last_size(destination.folder, plan, SYSTEM) < 150_000
    assert committed.last_size(destination.folder, plan, SYSTEM + 1) == 0


def test_a_record_without_a_bundle_has_no_size(destination: Destination, folder: Path, plan: BackupPlan) -> None:
    """Its bundle was removed by hand, to make room."""
    bundle_of(folder, plan, 2, 100_000)
    bundle_of(folder, plan, 1, 900_000).unlink()
    assert 100_000 <= committed.last_size(destination.folder, plan, SYSTEM) < 150_000


def test_a_sparse_file_takes_no_more_room_than_it_has_on_the_disk(
    destination: Destination, folder: Path, plan: BackupPlan
) -> None:
    os.truncate(bundle_of(folder, plan, 1, 100_000), 1 << 40)
    assert committed.last_size(destination.folder, plan, SYSTEM) < 150_000


def test_a_bundle_of_the_future_does_not_give_the_last_size(
    destination: Destination, folder: Path, plan: BackupPlan
) -> None:
    bundle_of(folder, plan, -1, 100_000)
    assert committed.last_size(destination.folder, plan, SYSTEM) == 0
