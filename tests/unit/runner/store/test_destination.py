"""Whether bundles can be written, and what is said when they cannot."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.store.destination import (
    Destination,
    errors_explained,
    prepared,
    require_space,
    require_writable,
)
from quotenode_backup.runner.store.folder import BundleFolder
from tests.unit.fakes.site import a_destination, folder_of, make_mounts, make_plan


@pytest.fixture
def destination(tmp_path: Path) -> Iterator[Destination]:
    with a_destination(tmp_path, make_plan()) as destination:
        yield destination


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
@pytest.mark.parametrize("is_dead", [False, True])
def test_an_error_of_the_disk_names_the_claim(
    destination: Destination, number: int, reason: Reason, is_dead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the disk answers nothing any more."""

    def stale(_: BundleFolder, _name: str) -> None:
        raise OSError(116, "Stale file handle")

    if is_dead:
        monkeypatch.setattr(BundleFolder, "status", stale)
    failure = failure_of(destination, number)
    assert failure.reason is reason
    assert "quotenode-backups" in failure.message


def failure_of(destination: Destination, number: int) -> RunFailed:
    """How an error of this number is reported."""
    with pytest.raises(RunFailed) as failure, errors_explained(destination):
        raise OSError(number, os.strerror(number))
    return failure.value


@pytest.mark.parametrize("number", [28, 122])
def test_a_disk_that_is_full_is_reported_with_what_was_written_until_then(
    destination: Destination, number: int
) -> None:
    (folder_of(destination) / destination.partial()).write_bytes(bytes(8192))
    assert "full after 8.0 KiB, and " in failure_of(destination, number).message


@pytest.mark.parametrize("number", [12, 23, 24])
def test_the_claim_is_not_blamed_for_what_the_process_lacks(destination: Destination, number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)), errors_explained(destination):
        raise OSError(number, os.strerror(number))


def test_a_claim_too_small_is_refused_with_numbers(destination: Destination) -> None:
    with pytest.raises(RunFailed, match=r"needs about 1\.0 PiB.* are free") as failure:
        require_space(destination.claim, 2**50)
    assert failure.value.reason is Reason.NO_SPACE


def test_the_probe_does_not_write_through_a_link(destination: Destination) -> None:
    victim = destination.claim.root / "victim"
    victim.write_text("mine")
    (folder_of(destination) / destination.partial(".probe")).symlink_to(victim)
    with pytest.raises(FileExistsError):
        require_writable(destination)
    assert victim.read_text() == "mine"


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    mounts, plan = make_mounts(tmp_path), make_plan()
    with prepared(mounts.destination, plan, "a1b2c3d4", "pod-1") as destination:
        folder = folder_of(destination)
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")
    with (
        pytest.raises(RunFailed, match="there is a link or a file in the place of a folder") as failure,
        prepared(mounts.destination, plan, "a1b2c3d4", "pod-1"),
    ):
        pass
    assert failure.value.reason is Reason.DESTINATION_NOT_WRITABLE


@pytest.mark.parametrize("path", ["link", "link/below", "circle", "circle/below"])
def test_a_destination_out_of_the_claim_or_in_a_circle_is_refused(tmp_path: Path, path: str) -> None:
    mounts = make_mounts(tmp_path)
    (mounts.destination / "circle").symlink_to("circle")
    (mounts.destination / "link").symlink_to(tmp_path)
    plan = make_plan(local={"claimName": "c", "subPath": path})
    with pytest.raises(RunFailed) as failure, prepared(mounts.destination, plan, "a1b2c3d4", "pod-1"):
        pass
    assert failure.value.reason is Reason.DESTINATION_NOT_WRITABLE
