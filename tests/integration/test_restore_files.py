"""Files are restored by the user of the application, who has no right but those of the owner."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.restore_files import folder_name
from tests.integration import trees
from tests.integration.restoring import UID, USER, Failed, archive_of, as_user

MODES = [0o755, 0o700, 0o555, 0o500, 0o000, 0o2775]


@pytest.fixture
def live(folder: Path) -> Path:
    folder.chmod(0o755)
    live = folder / "live"
    live.mkdir()
    trees.usual_uploads(live)
    for mode in MODES:
        fill(live / f"folder {mode:o}", mode)
    trees.own(live, USER)
    for mode in MODES:
        (live / f"folder {mode:o}").chmod(mode)
    return live


@pytest.fixture
def archive(folder: Path, live: Path) -> Path:
    """What was there before somebody changed it."""
    archive = folder / "files.tar"
    archive.write_bytes(archive_of(live))
    return archive


def fill(folder: Path, mode: int) -> None:
    trees.write(folder / "below" / "file", b"content", 0o400, 1_750_000_000_123_456_789)
    trees.write(folder / "secret", b"content", 0o000)
    (folder / "below").chmod(mode)


def changed(live: Path) -> dict[bytes, trees.Entry]:
    trees.write(live / "offers" / "doc-1.pdf", b"spoiled")
    (live / "images" / "logo.png").unlink()
    trees.write(live / "new.pdf", b"new")
    for path in (live, live / "offers" / "doc-1.pdf", live / "new.pdf"):
        os.chown(path, USER, USER)
    return content(live)


def content(live: Path) -> dict[bytes, trees.Entry]:
    own = folder_name(UID).encode()
    return {name: entry for name, entry in trees.snapshot(live).items() if not name.startswith(own)}


def test_everything_comes_back_with_its_modes_and_times(live: Path, archive: Path) -> None:
    before = content(live)
    changed(live)
    as_user("look", live)
    assert as_user("stage", live, archive) == 0
    assert as_user("swap", live, "new") == []
    assert content(live) == before
    assert {path.lstat().st_uid for path in live.rglob("*")} == {USER}


def test_a_swap_that_is_taken_back_leaves_everything_as_it_was(live: Path, archive: Path) -> None:
    spoiled = changed(live)
    as_user("stage", live, archive)
    as_user("swap", live, "old")
    assert content(live) == spoiled


@pytest.mark.parametrize("mode", ["folder 555", "folder 0"])
@pytest.mark.parametrize("side", ["old", "new"])
def test_a_folder_that_was_made_writable_for_its_rename_gets_its_mode_back(
    live: Path, archive: Path, mode: str, side: str
) -> None:
    before = content(live)
    as_user("stage", live, archive)
    as_user("kill in a rename", live, mode)
    as_user("settle", live, side)
    assert content(live) == before


def test_what_has_expired_is_removed_although_modes_forbid_it(live: Path, archive: Path) -> None:
    as_user("stage", live, archive)
    as_user("swap", live, "new")
    after = content(live)
    assert as_user("expire", live) == [[UID], []]
    assert not (live / folder_name(UID)).exists()
    assert content(live) == after


def test_an_earlier_stage_of_the_same_restore_makes_way(live: Path, archive: Path) -> None:
    as_user("stage", live, archive)
    as_user("stage", live, archive)
    as_user("swap", live, "new")
    assert content(live)


def test_owners_that_the_user_may_not_set_are_counted(live: Path, folder: Path) -> None:
    os.chown(live / "offers" / "doc-1.pdf", 33, 33)
    archive = folder / "files.tar"
    archive.write_bytes(archive_of(live))
    assert as_user("stage", live, archive) == 1


def test_a_group_that_the_user_is_in_is_kept(live: Path, folder: Path) -> None:
    """As that of `pod.fsGroup`."""
    for path in live.rglob("*"):
        os.lchown(path, USER, 2000)
    (live / "folder 2775").chmod(0o2775)
    archive = folder / "files.tar"
    archive.write_bytes(archive_of(live))
    assert as_user("stage", live, archive, groups="--groups=2000") == 0
    as_user("swap", live, "new", groups="--groups=2000")
    own = folder_name(UID)
    mine = [path for path in live.rglob("*") if own not in path.parts]
    assert {path.lstat().st_gid for path in mine} == {2000}
    assert stat.S_IMODE((live / "folder 2775").stat().st_mode) == 0o2775


def test_a_folder_of_somebody_else_is_found_before_anything_is_changed(live: Path) -> None:
    os.chown(live / "images", 33, 33)
    with pytest.raises(Failed, match="images belongs to user id 33 and has mode") as failure:
        as_user("look", live)
    assert failure.value.reason is Reason.FILES_NOT_REPLACEABLE
    assert trees.names(live)


def test_a_file_of_somebody_else_may_be_moved(live: Path, archive: Path) -> None:
    trees.write(live / "theirs", b"theirs")
    before = content(live)
    as_user("look", live)
    as_user("stage", live, archive)
    as_user("swap", live, "old")
    assert content(live) == before


def test_an_entry_of_somebody_else_below_a_sticky_bit_is_found(live: Path) -> None:
    trees.write(live / "theirs", b"theirs")
    os.chown(live, 33, USER)
    live.chmod(0o1775)
    with pytest.raises(Failed, match="theirs belongs to user id 0, and the folder has the sticky bit"):
        as_user("look", live)


@pytest.mark.parametrize("step", ["look", "stage"])
def test_a_live_folder_that_cannot_be_written_is_refused(live: Path, archive: Path, step: str) -> None:
    os.chown(live, 33, 33)
    live.chmod(0o755)
    with pytest.raises(Failed, match="user id 10001") as failure:
        as_user(step, live, *([archive] if step == "stage" else []))
    assert failure.value.reason is Reason.FILES_NOT_REPLACEABLE


def test_a_look_is_possible_where_the_claim_is_mounted_read_only(live: Path) -> None:
    subprocess.run(["mount", "--bind", "-o", "ro", live, live], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", live], check=True)
    try:
        as_user("look", live)
        with pytest.raises(Failed, match="Read-only file system"):
            as_user("stage", live, "none")
    finally:
        subprocess.run(["umount", live], check=True)


def test_an_immutable_file_is_not_lost_by_a_swap_that_cannot_move_it(live: Path, archive: Path) -> None:
    spoiled = changed(live)
    as_user("stage", live, archive)
    if subprocess.run(["chattr", "+i", live / "new.pdf"], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no such files")
    try:
        with pytest.raises(Failed, match=r"new\.pdf cannot be renamed") as failure:
            as_user("swap", live, "new")
        assert failure.value.reason is Reason.SWAP_UNFINISHED
        as_user("settle", live, "old")
        assert content(live) == spoiled
    finally:
        subprocess.run(["chattr", "-i", live / "new.pdf"], check=True)
