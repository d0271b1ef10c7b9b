"""What would refuse a restore is found before anything is changed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.files.archive_check import Tally
from quotenode_backup.runner.files.probes import obstacles, require_bundles_elsewhere, require_renames
from quotenode_backup.runner.files.restore_folder import opened
from quotenode_backup.runner.files.room import Need, require_room
from tests.unit.runner.files.restoring import names

UID = "0b6f2a9e-6a53-4f0e-9d59-0c6f7d1c2e3f"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """Of 4 MiB and 1,500 inodes."""
    folder = tmp_path / "volume"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=1500", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-R", folder], check=True)


@pytest.fixture
def live(volume: Path) -> Iterator[int]:
    descriptor = os.open(volume, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@as_root
@pytest.mark.parametrize(
    ("tally", "lacking"), [(Tally(files=1, bytes=4_100_000), "MiB free"), (Tally(folders=900), "inodes free")]
)
def test_without_room_the_sentence_says_what_is_lacking(live: int, tally: Tally, lacking: str) -> None:
    with pytest.raises(RunFailed, match=f"{lacking}.*enlarge the claim") as failure:
        require_room([Need("uploads", live, tally)])
    assert failure.value.reason is Reason.NO_SPACE


@as_root
def test_folders_of_one_volume_need_room_together(live: int) -> None:
    need = Need("uploads", live, Tally(files=1, bytes=2_500_000))
    require_room([need])
    with pytest.raises(RunFailed, match="Claim uploads has"):
        require_room([need, need])


@as_root
def test_a_mount_below_is_found_also_if_it_is_of_the_same_file_system(volume: Path, live: int) -> None:
    for name in ("fine", "other volume", "same\tvolume/below"):
        (volume / name).mkdir(parents=True)
    assert list(obstacles(live)) == []
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volume / "other volume"], check=True)
    subprocess.run(["mount", "--bind", volume / "fine", volume / "same\tvolume/below"], check=True)
    found = list(obstacles(live))
    assert [sentence.split(" is ")[0] for sentence in found] == ["other volume", "same\\tvolume"]


@as_root
def test_a_read_only_volume_is_refused_with_a_sentence(volume: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", volume], check=True)
    live = os.open(volume, os.O_RDONLY)
    with pytest.raises(RunFailed, match="Read-only file system") as failure, opened(live, UID):
        pass
    os.close(live)
    assert failure.value.reason is Reason.FILES_NOT_REPLACEABLE


def test_the_probe_of_renames_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "live" / "a").mkdir(parents=True)
    live = os.open(tmp_path / "live", os.O_RDONLY)
    with opened(live, UID) as folder:
        require_renames(folder)
        require_renames(folder)
    os.close(live)
    assert names(tmp_path / "live") == [f".quotenode-restore-{UID}", "a"]
    assert names(tmp_path / "live" / f".quotenode-restore-{UID}") == []


def test_looking_for_obstacles_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "live" / "a").mkdir(parents=True)
    before = (tmp_path / "live").stat()
    live = os.open(tmp_path / "live", os.O_RDONLY)
    assert list(obstacles(live)) == []
    os.close(live)
    after = (tmp_path / "live").stat()
    assert (before.st_ctime_ns, before.st_mtime_ns) == (after.st_ctime_ns, after.st_mtime_ns)


@pytest.mark.parametrize(
    ("restored", "bundles"), [([], []), ([], ["backups"]), (["data"], ["data", "backups"]), (["data"], ["data"])]
)
def test_bundles_below_what_is_swapped_are_refused(restored: list[str], bundles: list[str]) -> None:
    with pytest.raises(RunFailed, match="bundles are in it"):
        require_bundles_elsewhere(restored, bundles)


@pytest.mark.parametrize(("restored", "bundles"), [(["data"], []), (["data"], ["database"]), (["a", "b"], ["a", "c"])])
def test_bundles_beside_what_is_swapped_are_fine(restored: list[str], bundles: list[str]) -> None:
    require_bundles_elsewhere(restored, bundles)
