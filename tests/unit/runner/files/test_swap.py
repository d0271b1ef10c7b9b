"""Live and restored files change places on a real file system, killed at any rename."""

import os
import random
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_files import folder_name
from quotenode_backup.domain.swap import Move, Side
from quotenode_backup.runner.files import expiry, journal, moving, swap
from quotenode_backup.runner.files.journal import LoadedDatabase, Phase
from quotenode_backup.runner.files.restore_folder import RestoreFolder, opened

FIRST, SECOND = "0b6f2a9e-6a53-4f0e-9d59-0c6f7d1c2e3f", "11111111-6a53-4f0e-9d59-0c6f7d1c2e3f"
SHA256 = "ab" * 32
EXPIRES = datetime(2026, 3, 1, tzinfo=UTC)
AFTER = datetime(2026, 3, 2, tzinfo=UTC)
OLD = {"a": "old", "b": "old", "offers/1": "old", "lost+found/x": "lost", "both": "old"}
NEW = {"b": "new", "offers/1": "new", "offers/2": "new", "c\udcff\n": "new", "both/inside": "new"}
STAYS = ("lost+found/x",)


class Killed(BaseException):
    """As by SIGKILL: nothing but the disk is left."""


class Claim:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        put(root, OLD)

    @contextmanager
    def open(self, uid: str = FIRST) -> Iterator[RestoreFolder]:
        live = os.open(self.root, os.O_RDONLY)
        try:
            with opened(live, uid) as folder:
                yield folder
        finally:
            os.close(live)

    def stage(self, uid: str = FIRST, attempt: int = 1) -> None:
        with self.open(uid) as folder, folder.staging(attempt, EXPIRES, SHA256):
            put(self.own("new", uid), NEW)

    def begin(self, uid: str = FIRST, attempt: int = 1) -> None:
        self.stage(uid, attempt)
        with self.open(uid) as folder:
            swap.begin(folder, attempt, EXPIRES, LoadedDatabase(name="quotenode", oid=16400))

    def settle(self, side: Side, kill_after: int = 1000, uid: str = FIRST) -> list[str]:
        with self.open(uid) as folder:
            return swap.settle(folder, side, self._killer(kill_after))

    def half(self, side: Side, kill_after: int, uid: str = FIRST) -> None:
        """Renames that are killed, or that all happen without anybody knowing."""
        with self.open(uid) as folder:
            state = journal.read(folder.descriptor)
            assert state
            try:
                swap.move_to(folder, state, side, self._killer(kill_after))
            except Killed:
                return

    @staticmethod
    def _killer(kill_after: int) -> swap.Moved:
        left = iter(range(kill_after))

        def moved(_: Move) -> None:
            if next(left, None) is None:
                raise Killed

        return moved

    def own(self, name: str, uid: str = FIRST) -> Path:
        return self.root / folder_name(uid) / name

    def live(self) -> dict[str, str]:
        return {name: what for name, what in files(self.root).items() if not name.startswith(".quotenode-restore-")}


def put(folder: Path, tree: dict[str, str]) -> None:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def claim(tmp_path: Path) -> Claim:
    return Claim(tmp_path / "claim")


OLD_LIVE = OLD
NEW_LIVE = {**NEW, "lost+found/x": "lost"}
KEPT = {name: what for name, what in OLD.items() if name not in STAYS}


def test_live_and_restored_files_change_places(claim: Claim) -> None:
    claim.begin()
    assert claim.settle(Side.NEW) == []
    assert claim.live() == NEW_LIVE
    assert files(claim.own("old")) == KEPT
    assert not files(claim.own("new"))


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("seed", range(40))
def test_killed_anywhere_and_any_number_of_times_it_ends_whole(claim: Claim, seed: int, side: Side) -> None:
    chance = random.Random(seed)
    claim.begin()
    for _ in range(chance.randint(1, 4)):
        claim.half(chance.choice(list(Side)), chance.randint(0, 9))
    claim.settle(side)
    assert claim.live() == (OLD_LIVE if side is Side.OLD else NEW_LIVE)
    assert files(claim.own("old")) == ({} if side is Side.OLD else KEPT)
    assert files(claim.own("new")) == (NEW if side is Side.OLD else {})


@pytest.mark.parametrize("kill_after", range(12))
@pytest.mark.parametrize("side", Side)
def test_where_the_file_system_has_no_renames_that_never_replace_it_ends_whole_too(
    claim: Claim, kill_after: int, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS."""
    monkeypatch.setattr(moving, "_rename", moving.rename_without_flag)
    claim.begin()
    claim.half(Side.NEW, kill_after)
    claim.settle(side)
    assert claim.live() == (OLD_LIVE if side is Side.OLD else NEW_LIVE)


@pytest.mark.parametrize("side", Side)
def test_a_file_that_has_two_names_since_its_rename_was_killed_gets_one(claim: Claim, side: Side) -> None:
    claim.begin()
    with claim.open() as folder, folder.subfolder("old") as old:
        os.link("a", "a", src_dir_fd=folder.live, dst_dir_fd=old)
    claim.settle(side)
    assert claim.live() == (OLD_LIVE if side is Side.OLD else NEW_LIVE)
    assert not claim.own("late").exists()


@pytest.mark.parametrize("way", ["_rename", "rename_without_flag"])
def test_a_move_never_replaces_anything(tmp_path: Path, way: str) -> None:
    put(tmp_path, {"1/file": "one", "2/file": "two", "1/folder/x": "one"})
    (tmp_path / "2" / "folder").mkdir()
    (tmp_path / "1" / "link").symlink_to("nowhere")
    (tmp_path / "2" / "link").symlink_to("elsewhere")
    one, two = (os.open(tmp_path / name, os.O_RDONLY) for name in ("1", "2"))
    for name in ("file", "folder", "link"):
        with pytest.raises(FileExistsError):
            getattr(moving, way)(one, name, two)
    os.close(one)
    os.close(two)
    assert files(tmp_path) == {"1/file": "one", "2/file": "two", "1/folder/x": "one"}


@pytest.mark.parametrize("side", Side)
def test_a_late_upload_is_never_lost_and_named_when_it_had_to_make_way(claim: Claim, side: Side) -> None:
    claim.begin()
    claim.half(Side.NEW, 4)
    claim.half(Side.NEW, 0)
    put(claim.root, {"late": "late"})
    assert not (claim.root / "a").exists()
    put(claim.root, {"a": "late"})
    late = claim.settle(side)
    assert claim.live()["late"] == "late"
    if side is Side.OLD:
        assert late == ["a"]
        assert claim.live() == {**OLD_LIVE, "late": "late"}
        assert files(claim.own("late")) == {"1/a": "late"}
    else:
        assert claim.live() == {**NEW_LIVE, "late": "late", "a": "late"}


@pytest.mark.parametrize("side", Side)
def test_a_late_entry_makes_way_for_what_must_be_there(claim: Claim, side: Side) -> None:
    claim.begin()
    claim.half(Side.NEW, 4)
    put(claim.root, {"offers": "late"})
    assert claim.settle(side) == ["offers"]
    assert claim.live() == (OLD_LIVE if side is Side.OLD else NEW_LIVE)
    assert files(claim.own("late")) == {"1/offers": "late"}


def test_two_late_entries_of_one_name_are_both_kept(claim: Claim) -> None:
    claim.begin()
    for content in ("first", "second"):
        claim.half(Side.NEW, 4)
        put(claim.root, {"a": content})
        claim.half(Side.OLD, 1000)
    assert sorted(files(claim.own("late")).values()) == ["first", "second"]
    assert claim.settle(Side.OLD) == claim.settle(Side.OLD) == ["a", "a"]
    assert claim.live() == OLD_LIVE


def test_an_entry_that_vanished_is_not_missed(claim: Claim) -> None:
    claim.begin()
    (claim.root / "a").unlink()
    claim.settle(Side.NEW)
    assert claim.live() == NEW_LIVE


def test_what_is_settled_is_not_touched_when_the_application_runs_again(claim: Claim) -> None:
    claim.begin()
    claim.settle(Side.NEW)
    put(claim.root, {"a": "written by the application"})
    claim.settle(Side.NEW)
    assert claim.live() == {**NEW_LIVE, "a": "written by the application"}
    with pytest.raises(RunFailed) as failure:
        claim.settle(Side.OLD)
    assert failure.value.reason is Reason.SWAP_UNFINISHED


def test_after_a_swap_was_taken_back_the_next_attempt_stages_anew(claim: Claim) -> None:
    claim.begin()
    claim.half(Side.NEW, 6)
    claim.settle(Side.OLD)
    claim.begin(attempt=2)
    claim.settle(Side.NEW)
    assert claim.live() == NEW_LIVE


def test_a_swap_that_was_taken_back_can_be_made_again_without_staging(claim: Claim) -> None:
    claim.begin()
    claim.half(Side.NEW, 6)
    claim.settle(Side.OLD)
    with claim.open() as folder:
        state = swap.begin(folder, 2, EXPIRES)
        assert state.bundle_sha256 == SHA256
    claim.settle(Side.NEW)
    assert claim.live() == NEW_LIVE


def test_what_is_half_staged_is_never_swapped_in(claim: Claim) -> None:
    with pytest.raises(Killed), claim.open() as folder, folder.staging(1, EXPIRES, SHA256):
        put(claim.own("new"), {"b": "new"})
        raise Killed
    with claim.open() as folder, pytest.raises(RunFailed, match="not all there"):
        swap.begin(folder, 1, EXPIRES)
    assert claim.live() == OLD_LIVE


@pytest.mark.parametrize("is_staged", [True, False])
def test_a_restore_that_has_not_begun_its_swap_has_nothing_to_take_back(claim: Claim, is_staged: bool) -> None:
    if is_staged:
        claim.stage()
    assert claim.settle(Side.OLD) == []
    with pytest.raises(RunFailed, match="database says otherwise"):
        claim.settle(Side.NEW)
    assert claim.live() == OLD_LIVE


def test_nothing_is_staged_over_a_swap_that_is_not_settled(claim: Claim) -> None:
    claim.begin()
    claim.half(Side.NEW, 2)
    with pytest.raises(RunFailed) as failure:
        claim.stage(attempt=2)
    assert failure.value.reason is Reason.SWAP_UNFINISHED
    claim.settle(Side.OLD)
    assert claim.live() == OLD_LIVE


def test_a_runner_of_an_older_attempt_ends_before_it_changes_anything(claim: Claim) -> None:
    claim.stage(attempt=2)
    with claim.open() as folder, pytest.raises(RunFailed) as failure:
        swap.begin(folder, 1, EXPIRES)
    assert failure.value.reason is Reason.INTERRUPTED
    assert claim.live() == OLD_LIVE


def test_leftovers_are_seen_without_changing_anything(claim: Claim) -> None:
    claim.stage()
    before = claim.own("").stat()
    live = os.open(claim.root, os.O_RDONLY)
    assert list(expiry.leftovers(live)) == [expiry.Leftover(FIRST, EXPIRES, is_settled=True)]
    os.close(live)
    assert claim.own("").stat().st_ctime_ns == before.st_ctime_ns


def test_an_undo_brings_everything_back(claim: Claim) -> None:
    claim.begin()
    claim.settle(Side.NEW)
    put(claim.root, {"since": "then"})
    with claim.open(SECOND) as folder:
        swap.begin_undo(folder, FIRST, 1, AFTER)
    claim.half(Side.NEW, 3, SECOND)
    claim.settle(Side.NEW, uid=SECOND)
    assert claim.live() == OLD_LIVE
    assert files(claim.own("old", SECOND)) == {**NEW, "since": "then"}


def test_a_restore_is_undone_once(claim: Claim) -> None:
    """A second undo would find nothing to put back, and would empty the live folder."""
    claim.begin()
    claim.settle(Side.NEW)
    with claim.open(SECOND) as folder:
        swap.begin_undo(folder, FIRST, 1, AFTER)
    claim.settle(Side.NEW, uid=SECOND)
    with claim.open("33333333") as folder, pytest.raises(RunFailed, match="cannot be undone"):
        swap.begin_undo(folder, FIRST, 1, AFTER)
    assert claim.live() == OLD_LIVE


def test_an_undo_can_be_undone(claim: Claim) -> None:
    claim.begin()
    claim.settle(Side.NEW)
    for undone, uid, live in ((FIRST, SECOND, OLD_LIVE), (SECOND, "33333333", NEW_LIVE)):
        with claim.open(uid) as folder:
            swap.begin_undo(folder, undone, 1, AFTER)
        claim.settle(Side.NEW, uid=uid)
        assert claim.live() == live


def test_an_undo_that_is_taken_back_can_be_made_again(claim: Claim) -> None:
    claim.begin()
    claim.settle(Side.NEW)
    for side in (Side.OLD, Side.NEW):
        with claim.open(SECOND) as folder:
            swap.begin_undo(folder, FIRST, 1, AFTER)
        claim.half(Side.NEW, 7, SECOND)
        claim.settle(side, uid=SECOND)
        assert claim.live() == (NEW_LIVE if side is Side.OLD else OLD_LIVE)


def test_what_an_undo_needs_does_not_expire_under_it(claim: Claim) -> None:
    claim.begin()
    claim.settle(Side.NEW)
    with claim.open(SECOND) as folder:
        swap.begin_undo(folder, FIRST, 1, AFTER)
        assert expiry.remove_expired(folder.live, EXPIRES) == ([], [FIRST])
    claim.settle(Side.OLD, uid=SECOND)
    with claim.open(SECOND) as folder:
        assert expiry.remove_expired(folder.live, EXPIRES) == ([FIRST], [])


def test_without_what_was_replaced_there_is_no_undo(claim: Claim) -> None:
    claim.stage()
    for undone in (FIRST, "22222222-6a53-4f0e-9d59-0c6f7d1c2e3f"):
        with claim.open(SECOND) as folder, pytest.raises(RunFailed, match="cannot be undone"):
            swap.begin_undo(folder, undone, 1, EXPIRES)


def test_the_journal_names_everything_on_both_sides(claim: Claim) -> None:
    claim.begin()
    with claim.open() as folder:
        state = journal.read(folder.descriptor)
    assert state
    assert set(state.replaced) == {"a", "b", "offers", "both"}
    assert set(state.restored) == {"b", "offers", "c\udcff\n", "both"}
    assert (state.phase, state.attempt, state.expires) == (Phase.SWAPPING, 1, EXPIRES)
    assert state.database == LoadedDatabase(name="quotenode", oid=16400)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[" * 100_000, '{"version": 2}', '{"restored": ["../x"]}'])
def test_a_journal_that_we_did_not_write_is_none(claim: Claim, text: str) -> None:
    claim.begin()
    claim.own("state.json").write_text(text)
    with claim.open() as folder:
        assert journal.read(folder.descriptor) is None
    with pytest.raises(RunFailed, match="without a journal"):
        claim.settle(Side.NEW)


def test_only_what_is_expired_and_settled_is_removed(claim: Claim) -> None:
    claim.begin()
    with claim.open(SECOND) as folder:
        assert expiry.remove_expired(folder.live, AFTER) == ([FIRST], [])
    claim.begin()
    claim.half(Side.NEW, 2)
    with claim.open(SECOND) as folder:
        assert expiry.remove_expired(folder.live, AFTER) == ([], [FIRST])
        assert not expiry.remove(folder.live, FIRST)
    claim.settle(Side.NEW)
    with claim.open(SECOND) as folder:
        assert expiry.remove_expired(folder.live, datetime(2026, 2, 1, tzinfo=UTC)) == ([], [])
        assert expiry.remove_expired(folder.live, AFTER) == ([FIRST], [])
    assert claim.live() == NEW_LIVE
    assert not claim.own("old").exists()


def test_a_folder_that_does_not_say_what_it_is_is_left_to_its_own_restore(claim: Claim) -> None:
    claim.begin()
    claim.own("state.json").unlink()
    with claim.open(SECOND) as folder:
        assert expiry.remove_expired(folder.live, AFTER) == ([], [])
        assert expiry.remove(folder.live, FIRST)


def test_neither_links_nor_other_names_are_taken_for_a_restore(claim: Claim, tmp_path: Path) -> None:
    put(tmp_path, {"outside/x": "x"})
    (claim.root / folder_name(FIRST)).symlink_to(tmp_path / "outside")
    put(claim.root, {".quotenode-restore-a.b/x": "x", ".quotenode-restore-/x": "x"})
    live = os.open(claim.root, os.O_RDONLY)
    assert list(expiry.leftovers(live)) == []
    with pytest.raises(RunFailed, match="not a folder"), opened(live, FIRST):
        pass
    os.close(live)
    assert files(tmp_path / "outside") == {"x": "x"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_of_somebody_else_is_not_ours(claim: Claim) -> None:
    claim.stage()
    os.chown(claim.root / folder_name(FIRST), 1000, 1000)
    with pytest.raises(RunFailed, match="belongs to somebody else"):
        claim.stage()


def test_nobody_else_sees_what_is_staged_or_kept(claim: Claim) -> None:
    claim.begin()
    for path in (claim.root / folder_name(FIRST), claim.own("new"), claim.own("old")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
