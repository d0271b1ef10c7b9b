import os
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.files.source import open_source, require_source


def folder_of(root: Path, sub_path: str) -> str:
    descriptor = open_source(root, sub_path)
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    finally:
        os.close(descriptor)


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    (tmp_path / "claim" / "a" / "b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "claim" / "in").symlink_to("a/b")
    (tmp_path / "claim" / "out").symlink_to("../outside")
    (tmp_path / "claim" / "circle").symlink_to("circle")
    (tmp_path / "claim" / "file").touch()
    return tmp_path / "claim"


@pytest.mark.parametrize(
    ("sub_path", "below"), [("", ""), (".", ""), ("a", "a"), ("a/b/", "a/b"), ("in", "a/b"), ("in/..", "a")]
)
def test_a_folder_inside_is_opened(claim: Path, sub_path: str, below: str) -> None:
    assert folder_of(claim, sub_path) == str(claim / below)


@pytest.mark.parametrize(
    "sub_path", ["out", "..", "../outside", "/etc", "in/../../..", "nowhere", "file", "file/x", "circle"]
)
def test_nothing_is_opened_that_is_outside_the_claim_or_not_a_folder(claim: Path, sub_path: str) -> None:
    with pytest.raises(RunFailed) as failure:
        require_source(claim, sub_path, "quotenode-uploads")
    assert failure.value.reason is Reason.SOURCE_PATH_MISSING
    assert "quotenode-uploads" in failure.value.message


def test_no_descriptor_is_left_open(claim: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    require_source(claim, "a/b", "c")
    with pytest.raises(RunFailed):
        require_source(claim, "a/b/nowhere", "c")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
