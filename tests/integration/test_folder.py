"""What lies in the folder of the bundles is believed only as far as it was read, and nothing in it stops a backup."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quotenode_backup.contract import results
from quotenode_backup.contract.manifest import CommitRecord, parse_record
from quotenode_backup.domain.retention import fingerprint
from tests import bundle_maker
from tests.integration import older, trees
from tests.integration.older import Older, standing
from tests.integration.pod import USER
from tests.integration.site import Site
from tests.integration.waiting import eventually
from tests.strange_entries import STRANGE_ENTRIES, a_pipe

STARTED = datetime(2026, 3, 1, 2, 30, 15, tzinfo=UTC)


def recorded(bundle: Older) -> CommitRecord:
    record = parse_record(bundle.record.read_bytes())
    assert isinstance(record, CommitRecord)
    return record


def forge(bundle: Older, content: bytes, **changes: object) -> None:
    """Another content under the name, with a record that has its size and its hash."""
    bundle.path.write_bytes(content)
    bundle_maker.record(bundle.path, recorded(bundle).model_copy(update=changes))
    trees.own(bundle.path.parent, USER)


def pruned(site: Site, keep_last: int) -> results.RetentionOutcome:
    outcome = site.backup(site.plan(retention={"keepLast": keep_last}))
    site.assert_equals(site.open(site.destination / outcome.succeeded().path))
    assert outcome.result.retention is not None, outcome.story
    return outcome.result.retention


def claimed(site: Site, uid: str) -> Older:
    """A bundle that says it is of this run, which has not begun."""
    bundle = older.bundle(site, days_ago=1)
    record = recorded(bundle).model_copy(update={"run_uid": uid, "started": STARTED})
    bundle_maker.pack(bundle.path, {"backup.dump": b"no dump"})
    bundle_maker.record(bundle.path, record)
    trees.own(site.bundle_folder, USER)
    return bundle


@pytest.mark.parametrize("content", [b"twelve bytes", None, b""])
def test_a_file_that_claims_to_be_the_bundle_of_this_run_is_left_alone(site: Site, content: bytes | None) -> None:
    uid = str(uuid.uuid4())
    theirs = claimed(site, uid)
    if content is not None:
        forge(theirs, content)
    before = theirs.path.read_bytes()
    stored = site.backup(site.plan(runUid=uid, started=STARTED.isoformat())).succeeded()
    assert Path(stored.path).name != theirs.path.name
    site.assert_equals(site.open(site.destination / stored.path))
    assert theirs.path.read_bytes() == before


def test_a_dump_that_is_cut_short_is_not_taken_for_this_runs(site: Site) -> None:
    """All hashes are right: only pg_restore can tell."""
    uid = str(uuid.uuid4())
    theirs = older.bundle(site, days_ago=1)
    dump = older.a_dump(site.database.server.folder, site.database.server.programs, site.database.server.port)[:-30]
    made = recorded(theirs)
    member = made.database.model_copy(update={"size_bytes": len(dump), "sha256": bundle_maker.sha256(dump)})
    made = made.model_copy(update={"run_uid": uid, "started": STARTED, "database": member, "files": None})
    bundle_maker.put(theirs.path, made, dump)
    trees.own(site.bundle_folder, USER)
    outcome = site.backup(site.plan(runUid=uid, started=STARTED.isoformat()))
    assert Path(outcome.succeeded().path).name != theirs.path.name
    assert "pg_restore cannot read the dump" in outcome.log


def test_a_bundle_that_was_removed_by_hand_leaves_no_claim_too_full(site: Site) -> None:
    """Its record tells of more than there will ever be room for."""
    removed = older.bundle(site, days_ago=1)
    record = recorded(removed)
    removed.record.write_bytes(record.recorded(record.bundle.name, 1 << 50, record.bundle.sha256).to_json())
    removed.path.unlink()
    site.assert_equals(site.open(site.destination / site.backup().succeeded().path))


def test_seven_bundles_of_junk_do_not_push_out_seven_good_ones(site: Site) -> None:
    good = [older.bundle(site, days_ago=10 + days) for days in range(7)]
    junk = [older.bundle(site, days_ago=1 + days) for days in range(7)]
    for bundle in junk:
        forge(bundle, os.urandom(70_000))
    retention = pruned(site, 7)
    assert standing(good) == [True] * 6 + [False]
    assert all(standing(junk))
    assert retention.problem
    assert f"{junk[0].path.name} and 6 more: no longer the bundle that was stored" in retention.problem


def test_seven_small_bundles_do_not_push_out_seven_large_ones(site: Site) -> None:
    """The database was emptied by mistake a week ago, and nobody has seen it."""
    large = [older.bundle(site, days_ago=10 + days, filler=5_000_000) for days in range(7)]
    small = [older.bundle(site, days_ago=1 + days, filler=20_000) for days in range(7)]
    retention = pruned(site, 7)
    assert standing(large) == [True] * 7
    assert standing(small) == [True] * 6 + [False]
    assert retention.problem
    assert f"{large[0].path.name} and 6 more" in retention.problem
    assert "remove it by hand" in retention.problem


def test_a_database_that_was_emptied_does_not_hide_behind_the_files(site: Site) -> None:
    """Its dumps are far smaller than a week ago, and the bundles hardly are."""
    running = site.database.server
    small = older.a_dump(running.folder, running.programs, running.port)
    large = small + os.urandom(5_000_000)
    whole = [older.bundle(site, days_ago=10 + days, filler=3_000_000, dump=large) for days in range(7)]
    hollow = [older.bundle(site, days_ago=1 + days, filler=3_000_000, dump=small) for days in range(7)]
    retention = pruned(site, 7)
    assert standing(whole) == [True] * 7
    assert standing(hollow) == [True] * 6 + [False]
    assert retention.problem
    assert f"{whole[0].path.name} and 6 more: dump or files over 10 times as large" in retention.problem


def a_huge_file(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def a_forbidden_file(path: Path) -> None:
    path.write_text("{}")
    path.chmod(0)


def a_million_characters(path: Path) -> None:
    path.write_text(json.dumps({"runUid": "x" * 1_000_000}))


def deep_json(path: Path) -> None:
    path.write_text("[" * 500_000)


FILES = [a_huge_file, a_forbidden_file, a_million_characters, deep_json]


@pytest.mark.parametrize("put", [*STRANGE_ENTRIES, a_forbidden_file])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_something_strange_in_the_place_of_a_bundle_stops_neither_run_nor_retention(
    site: Site, put: Callable[[Path], None], part: int
) -> None:
    before = older.bundles(site, 5)
    replaced = before[3].parts[part]
    replaced.unlink()
    put(replaced)
    seen = look(replaced)
    pruned(site, 2)
    assert standing([before[0], before[1], before[2], before[4]]) == [True, False, False, False]
    if put is a_forbidden_file and part < 2:
        assert before[3].is_gone
    else:
        assert look(replaced) == seen


def test_records_with_values_that_no_backup_has_stop_nothing(site: Site) -> None:
    before, absurd = older.bundles(site, 4), absurd_records(site)
    retention = pruned(site, 2)
    assert standing(before) == [True, False, False, False]
    assert all(standing(absurd))
    assert retention.problem == f"{absurd[-1].record.name} and 3 more: not a commit record, left as it is."


ODD_NAMES = [
    "{}.tar.gz",
    "{}.tar.gz.sha256",
    "{}.tar.gz.manifest.json",
    "{}.tar.gz.keep",
    ".pruned-{}.tar.gz.manifest.json",
    ".partial-ffffffff-{}",
    ".partial-ffffffff-{}.manifest.json",
    "{}",
]
OUR_PARTIALS = [
    ".partial-{tag}-{}",
    ".partial-{tag}-{}.dump",
    ".partial-{tag}-{}.index",
    ".partial-{tag}-{}.manifest.json",
]


def test_a_folder_with_everything_in_it_changes_nothing(site: Site, tag: str) -> None:
    before = older.bundles(site, 5)
    others = [
        older.bundle(site, days_ago=0.5, database="another", on=site.bundle_folder),
        older.bundle(site, days_ago=0.4, server="7000000000000000001"),
        older.bundle(site, days_ago=0.3),
    ]
    newer = others[-1].record
    newer.write_bytes(newer.read_bytes().replace(b'"formatVersion": 1', b'"formatVersion": 3'))
    absurd = absurd_records(site)
    put_everything(site, [*STRANGE_ENTRIES, *FILES], ODD_NAMES, tag)
    put_everything(site, STRANGE_ENTRIES, OUR_PARTIALS, tag)
    ours = {part.name for bundle in before for part in bundle.parts}
    foreign = {name: seen for name, seen in looks(site).items() if os.fsdecode(name) not in ours}
    retention = pruned(site, 3)
    assert standing(before) == [True, True, False, False, False]
    assert all(standing([*others, *absurd]))
    assert {name: seen for name, seen in looks(site).items() if name in foreign} == foreign
    assert (retention.pruned, retention.survivors) == (3, None)
    assert retention.problem


def test_partial_files_of_dead_attempts_go_whatever_is_in_them(site: Site, tag: str) -> None:
    put_everything(site, FILES, OUR_PARTIALS, tag)
    assert len(list(site.bundle_folder.glob(".partial-*"))) == 2 * len(FILES) * len(OUR_PARTIALS)
    site.works_again()


def put_everything(site: Site, kinds: Sequence[Callable[[Path], None]], names: Sequence[str], tag: str) -> None:
    """Each kind under each name, and once more with a byte in it that is no UTF-8."""
    site.bundle_folder.mkdir(exist_ok=True)
    for kind in kinds:
        for name in names:
            for stem in (kind.__name__, f"{kind.__name__}\udcff\n"):
                kind(site.bundle_folder / name.format(stem, tag=tag))
    shutil.chown(site.bundle_folder, USER, USER)


def absurd_records(site: Site) -> list[Older]:
    """Beside whole bundles: what no backup ever says of itself."""
    absurd: list[tuple[str, object]] = [
        ("completed", "9999-12-31T23:59:59-14:00"),
        ("files", {"sources": "all"}),
        ("database", {"sizeBytes": 10**30}),
        ("target", None),
    ]
    found = []
    for number, (field, value) in enumerate(absurd):
        bundle = older.bundle(site, days_ago=20 + number)
        bundle.record.write_text(json.dumps({**json.loads(bundle.record.read_text()), field: value}))
        found.append(bundle)
    return found


@pytest.fixture
def tag(site: Site) -> str:
    """What the partial files of this database's backups are called after, seen while one is made."""
    slow = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "inject=fsync:delay_exit=1s:when=1"]
    pod = site.start(tracer=slow)
    partial = eventually(lambda: next(iter(site.bundle_folder.glob(".partial-*")), None), "a partial bundle is there")
    pod.wait().succeeded()
    shutil.rmtree(site.bundle_folder)
    return partial.name.split("-")[1]


def looks(site: Site) -> dict[bytes, tuple[object, ...]]:
    return {os.fsencode(path.name): look(path) for path in site.bundle_folder.iterdir()}


def look(path: Path) -> tuple[object, ...]:
    """All that somebody could have changed about it, without opening it."""
    seen = path.lstat()
    below = sorted(entry.name for entry in path.iterdir()) if path.is_dir() and not path.is_symlink() else []
    target = str(path.readlink()) if path.is_symlink() else ""
    return seen.st_ino, seen.st_mode, seen.st_uid, seen.st_size, seen.st_mtime_ns, target, *below


def test_the_survivors_are_named_while_every_record_can_be_read(site: Site) -> None:
    (bundle,) = older.bundles(site, 1)
    a_pipe(site.bundle_folder / "pipe.tar.gz")
    retention = pruned(site, 2)
    assert retention.survivors
    assert fingerprint(bundle.run_uid) in retention.survivors
    assert retention.problem == "pipe.tar.gz: not a regular file, left as it is."
