"""A bundle is committed once, and only whole: whoever dies, whenever."""

import itertools
import json
import random
import re
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason
from tests.integration.held import dump_under_way
from tests.integration.pod import Pod
from tests.integration.site import Site
from tests.integration.waiting import eventually, pause

STARTED = datetime(2026, 3, 1, 2, 30, 15, tzinfo=UTC).isoformat()
CHANGING_CALLS = (
    "fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,truncate,ftruncate"
)
CALLS_OF_A_COMMIT = ["fsync", "linkat", "mkdirat", "renameat", "unlink", "unlinkat"]


def test_the_second_attempt_of_a_run_gives_the_bundle_of_the_first_and_dumps_nothing(site: Site) -> None:
    uid = str(uuid.uuid4())
    first = site.backup(site.plan(runUid=uid, started=STARTED)).succeeded()
    site.database.execute("INSERT INTO customers (name) VALUES ('came later')")
    before = site.stored()
    again = site.backup(site.plan(runUid=uid, started=STARTED, attempt=2)).succeeded()
    assert again == first
    assert site.stored() == before
    site.assert_nothing_left_behind()


def test_a_committed_bundle_that_has_rotted_is_not_given_again(site: Site) -> None:
    uid = str(uuid.uuid4())
    first = site.destination / site.backup(site.plan(runUid=uid, started=STARTED)).succeeded().path
    rotten = bytearray(first.read_bytes())
    rotten[len(rotten) // 2] ^= 1
    first.write_bytes(rotten)
    outcome = site.backup(site.plan(runUid=uid, started=STARTED, attempt=2))
    if outcome.exit_code == 0:
        site.assert_equals(site.open(site.destination / outcome.succeeded().path))
    else:
        outcome.failed(Reason.READ_BACK_MISMATCH, first.name)


def test_a_committed_bundle_that_someone_removed_is_made_again(site: Site) -> None:
    uid = str(uuid.uuid4())
    (site.destination / site.backup(site.plan(runUid=uid, started=STARTED)).succeeded().path).unlink()
    stored = site.backup(site.plan(runUid=uid, started=STARTED, attempt=2)).succeeded()
    site.assert_equals(site.open(site.destination / stored.path))


def test_two_runs_of_the_same_second_never_overwrite_one_another(site: Site) -> None:
    first = site.backup(site.plan(started=STARTED)).succeeded()
    content = (site.destination / first.path).read_bytes()
    second = site.backup(site.plan(started=STARTED)).succeeded()
    third = site.backup(site.plan(started=STARTED)).succeeded()
    assert len({first.path, second.path, third.path}) == 3
    assert Path(first.path).name == "quotenode-backup-20260301-023015.tar.gz"
    assert (site.destination / first.path).read_bytes() == content
    site.assert_nothing_left_behind()


def test_a_file_of_someone_else_under_the_name_stays_as_it_is(site: Site) -> None:
    site.backup().succeeded()
    theirs = site.bundle_folder / "quotenode-backup-20260301-023015.tar.gz"
    theirs.write_bytes(b"mine")
    stored = site.backup(site.plan(started=STARTED)).succeeded()
    assert theirs.read_bytes() == b"mine"
    assert Path(stored.path).name != theirs.name


def test_strange_things_beside_the_bundles_stop_no_backup(site: Site) -> None:
    site.backup().succeeded()
    (site.bundle_folder / "garbage.manifest.json").write_bytes(b"\xff{not json")
    (site.bundle_folder / "list.manifest.json").write_bytes(b"[1, 2]")
    (site.bundle_folder / "empty.manifest.json").write_bytes(b"")
    (site.bundle_folder / "folder.manifest.json").mkdir()
    (site.bundle_folder / "loop.manifest.json").symlink_to("loop.manifest.json")
    (site.bundle_folder / "lost.manifest.json").symlink_to("/nowhere")
    (site.bundle_folder / "a\nb.manifest.json").write_text("{}")
    (site.bundle_folder / "deep.manifest.json").write_text("[" * 100_000)
    stored = site.backup().succeeded()
    site.assert_equals(site.open(site.destination / stored.path))


def test_a_commit_record_that_points_elsewhere_is_not_believed(site: Site) -> None:
    """Whoever can write the claim could make a run look done."""
    uid = str(uuid.uuid4())
    stored = site.backup().succeeded()
    record = site.destination / f"{stored.path}.manifest.json"
    forged = json.loads(record.read_text())
    forged["runUid"] = uid
    forged["bundle"] = {**forged["bundle"], "name": "../../../secrets/database/password"}
    (site.bundle_folder / "forged.manifest.json").write_text(json.dumps(forged))
    made = site.backup(site.plan(runUid=uid)).succeeded()
    assert ".." not in made.path
    site.assert_equals(site.open(site.destination / made.path))


def test_what_a_dead_attempt_left_is_removed_by_the_next(big_site: Site) -> None:
    with dump_under_way(big_site) as pod:
        eventually(lambda: any(big_site.stored().values()), "something is written")
        pod.kill()
    assert not big_site.bundles()
    assert big_site.stored(), "nothing was left, so nothing is tested"
    big_site.works_again()


def test_only_leftovers_are_removed(site: Site) -> None:
    site.backup().succeeded()
    kept = [
        site.bundle_folder / "notes.txt",
        site.bundle_folder / "old.tar.gz",
        site.destination / ".partial-of-someone",
        site.bundle_folder / ".keep",
    ]
    for path in kept:
        path.write_text("stays")
    site.backup().succeeded()
    assert all(path.read_text() == "stays" for path in kept)


@pytest.mark.parametrize("seed", range(8))
def test_a_run_that_is_killed_at_any_moment_leaves_nothing_false_and_can_be_repeated(site: Site, seed: int) -> None:
    uid = str(uuid.uuid4())
    plan = site.plan(runUid=uid)
    pod = site.start(plan)
    pod.pid  # noqa: B018 - waits until it has started
    pause(random.Random(seed).uniform(0.05, 1.2))
    pod.kill()
    assert_only_whole_bundles(site)
    stored = site.backup(plan).succeeded()
    site.assert_equals(site.open(site.destination / stored.path))
    site.assert_server_is_free()
    assert len(committed_by(site, uid)) == 1


def test_the_commit_uses_the_calls_that_are_tried_below(site: Site, account: Path) -> None:
    traced(site, f"trace={CHANGING_CALLS}", account=account).wait().succeeded()
    assert set(re.findall(r"^\d+ +(\w+)\(", account.read_text(), re.MULTILINE)) == set(CALLS_OF_A_COMMIT)


@pytest.mark.parametrize("call", CALLS_OF_A_COMMIT)
def test_a_run_that_is_killed_before_any_call_that_changes_the_folder_leaves_nothing_false(
    site: Site, call: str
) -> None:
    """Every step of the commit in turn: the kernel stops the runner at the first, the second, … call."""
    for number in itertools.count(1):
        if not died_before(site, call, number):
            break
        assert number < 30
    assert number > 1


def died_before(site: Site, call: str, number: int) -> bool:
    """Whether a run makes that call so often in one thread; killed there, it must be repeated well."""
    uid = str(uuid.uuid4())
    plan = site.plan(runUid=uid)
    outcome = traced(site, f"inject={call}:signal=KILL:when={number}", plan).wait()
    if outcome.exit_code == 0:
        return False
    assert outcome.exit_code == 137, outcome.story
    assert_only_whole_bundles(site)
    site.backup(plan).succeeded()
    assert len(committed_by(site, uid)) == 1, f"killed before {call} number {number}"
    assert_only_whole_bundles(site)
    site.assert_server_is_free()
    subprocess.run(["rm", "-rf", site.bundle_folder], check=True)
    return True


@pytest.mark.parametrize("call", ["fsync", "rename,renameat,renameat2,link,linkat"])
def test_a_disk_that_refuses_fails_the_run(site: Site, call: str) -> None:
    pod = traced(site, f"inject={call}:error=EIO:when=1+")
    pod.wait().failed(Reason.IO_ERROR)
    site.assert_nothing_left_behind()
    site.works_again()


def test_a_bundle_that_changed_on_disk_before_it_is_read_back_is_never_committed(site: Site, account: Path) -> None:
    pod = traced(site, "inject=fsync,fdatasync:delay_exit=3s:when=1", account=account)
    eventually(lambda: account.exists() and "sync(" in account.read_text(), "the runner has flushed its bundle")
    (partial,) = [site.destination / name for name, size in site.stored().items() if size > 1000]
    with partial.open("r+b") as file:
        file.seek(partial.stat().st_size // 2)
        before = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([before[0] ^ 0x10]))
    pod.wait().failed(Reason.READ_BACK_MISMATCH)
    site.assert_nothing_left_behind()
    site.works_again()


def traced(site: Site, what: str, plan: bytes | None = None, account: Path | None = None) -> Pod:
    """A run whose calls the kernel reports, or answers in its own way. The tracer stays beside process 1, not above it."""
    output = ["-o", str(account)] if account else ["-o", "/dev/null"]
    return site.start(plan, tracer=["strace", "-D", "-f", "-qq", "--seccomp-bpf", *output, "-e", what])


@pytest.fixture
def account() -> Iterator[Path]:
    """Where a tracer can write to from inside a pod."""
    path = Path("/dev/shm") / uuid.uuid4().hex
    yield path
    path.unlink()


def committed_by(site: Site, uid: str) -> list[Path]:
    return [
        record
        for record in site.bundle_folder.glob("*.manifest.json")
        if json.loads(record.read_text())["runUid"] == uid
    ]


def assert_only_whole_bundles(site: Site) -> None:
    """What stands under a final name is a bundle with all that was there."""
    for bundle in site.bundles():
        if bundle.with_name(f"{bundle.name}.sha256").exists():
            site.assert_equals(site.open(bundle))
    for record in site.bundle_folder.glob("*.manifest.json"):
        assert record.with_name(record.name.removesuffix(".manifest.json")).is_file()
