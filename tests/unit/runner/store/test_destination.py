"""Whether bundles can be written, and what is said when they cannot."""

import os
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.store import destination
from quotenode_backup.runner.store.destination import Folder
from tests.unit.fakes.site import make_places, make_plan


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return destination.prepare(make_places(tmp_path).destination, make_plan(), "a1b2c3d4", "pod-1")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (28, Reason.NO_SPACE),
        (122, Reason.NO_SPACE),
        (13, Reason.DESTINATION_NOT_WRITABLE),
        (30, Reason.DESTINATION_NOT_WRITABLE),
        (5, Reason.IO_ERROR),
    ],
)
def test_an_error_of_the_disk_is_told_with_the_claim(folder: Folder, number: int, reason: Reason) -> None:
    failure = destination.not_stored(folder, OSError(number, os.strerror(number)))
    assert failure.reason is reason
    assert "quotenode-backups" in failure.message


def test_a_claim_too_small_is_refused_with_numbers(folder: Folder) -> None:
    with pytest.raises(RunFailed, match=r"needs about 1\.0 PiB.* are free") as failure:
        destination.require_space(folder, 2**50)
    assert failure.value.reason is Reason.NO_SPACE


def test_nothing_is_written_through_a_link_to_see_whether_it_can_be(folder: Folder) -> None:
    victim = folder.claim_root / "victim"
    victim.write_text("mine")
    folder.partial(".probe").symlink_to(victim)
    with pytest.raises(FileExistsError):
        destination.require_writable(folder)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("path", ["link", "link/below"])
def test_a_destination_out_of_the_claim_is_refused(tmp_path: Path, path: str) -> None:
    places = make_places(tmp_path)
    (places.destination / "link").symlink_to(tmp_path)
    with pytest.raises(RunFailed) as failure:
        destination.prepare(
            places.destination, make_plan(local={"claimName": "c", "subPath": path}), "a1b2c3d4", "pod-1"
        )
    assert failure.value.reason is Reason.DESTINATION_NOT_WRITABLE
