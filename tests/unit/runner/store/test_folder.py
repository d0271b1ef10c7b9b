"""What an open folder of bundles does when something else takes the place of what it knows."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import quotenode_backup
from quotenode_backup.runner.store.folder import BundleFolder, opened, reached


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    return victim


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[BundleFolder]:
    with opened(tmp_path, ["shop"], create=True) as folder:
        yield folder


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda folder: folder.file("name"), id="read"),
        pytest.param(lambda folder: folder.create("name"), id="create"),
        pytest.param(lambda folder: folder.write("name", b"ours"), id="write"),
    ],
)
def test_a_link_is_not_followed(
    folder: BundleFolder, path: Path, victim: Path, use: Callable[[BundleFolder], object]
) -> None:
    (path / "name").symlink_to(victim)
    with pytest.raises(OSError, match=r"symbolic links|File exists"):
        use(folder)
    folder.unlink_file("name")
    assert (path / "name").is_symlink()
    assert victim.read_text() == "mine"


def test_a_second_name_for_a_link_is_a_link(folder: BundleFolder, path: Path, victim: Path) -> None:
    (path / "link").symlink_to(victim)
    folder.link("link", "second")
    assert (path / "second").is_symlink()
    assert victim.stat().st_nlink == 1


def test_a_folder_that_a_link_takes_the_place_of_is_still_written_to(folder: BundleFolder, path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.with_name("elsewhere").mkdir()
    path.symlink_to("elsewhere")
    folder.write("name", b"ours")
    assert not list(path.iterdir())
    assert (path.with_name("moved") / "name").read_bytes() == b"ours"


def test_a_folder_that_was_reopened_outlives_the_first_descriptor(tmp_path: Path, path: Path) -> None:
    with opened(tmp_path, ["shop"], create=True) as folder:
        reopening = folder.reopened()
        second = reopening.__enter__()
    with (path / "bundle").open("w"):
        assert second.names() == {"bundle"}
    reopening.__exit__(None, None, None)


@pytest.mark.parametrize("names", [["link"], ["link", "below"]])
def test_no_link_is_followed_on_the_way(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "elsewhere" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(NotADirectoryError), reached(tmp_path, names):
        pass
    with pytest.raises(NotADirectoryError), opened(tmp_path, [*names, "new"], create=True):
        pass
    assert os.listdir(tmp_path / "elsewhere" / "below") == []  # noqa: PTH208 - by name


@pytest.mark.parametrize("create", [False, True])
def test_a_folder_on_the_way_must_be_searched_and_need_not_be_listed(tmp_path: Path, create: bool) -> None:
    """Run as root, but without the privileges that let root read everything."""
    (tmp_path / "claim" / "way" / "shop").mkdir(parents=True)
    for folder in (tmp_path / "claim", tmp_path / "claim" / "way"):
        folder.chmod(0o311)
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    names = ["way", "new" if create else "shop"]
    ended = subprocess.run(
        [*drop, sys.executable, "-c", ENTER, str(tmp_path / "claim"), *names], env=ENVIRONMENT, check=False
    )
    assert ended.returncode == 0


ENVIRONMENT = {"PYTHONPATH": str(Path(quotenode_backup.__path__[0]).parent), "PATH": os.environ["PATH"]}
ENTER = """
import sys
from pathlib import Path
from quotenode_backup.runner.store.folder import opened
with opened(Path(sys.argv[1]), sys.argv[2:], create=sys.argv[3] == "new") as folder:
    folder.write("bundle", b"")
    assert folder.names() == {"bundle"}
"""
