"""What a search for the bundle of a recreated run answers. As whom it may not read is tested in the image."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quotenode_backup.contract.plans import SearchPlan
from quotenode_backup.contract.results import Outcome, SearchResult
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle.manifest import target
from quotenode_backup.runner.commands.find import find
from quotenode_backup.runner.process.mounts import Mounts
from tests import bundle_maker
from tests.unit.fakes.site import make_context, make_mounts, make_plan

CONTENT = b"x" * 3_000_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BUNDLE, RECORD = "one.tar.gz", "one.tar.gz.manifest.json"


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    """With a bundle."""
    mounts = make_mounts(tmp_path)
    folder = mounts.destination / "a" / "shop"
    folder.mkdir(parents=True)
    (folder / BUNDLE).write_bytes(CONTENT)
    completed = datetime(2026, 3, 1, 2, tzinfo=UTC)
    made = bundle_maker.manifest(target(make_plan(), 1), "mine", completed, b"dump")
    (folder / RECORD).write_bytes(made.recorded(BUNDLE, len(CONTENT), SHA256).to_json())
    return mounts


def searched(mounts: Mounts, left: timedelta = timedelta(minutes=5), **changes: object) -> SearchResult:
    fields = {
        "runUid": "anew",
        "namespace": "shop",
        "name": "night",
        "attempt": 1,
        "deadline": (datetime.now(UTC) + left).isoformat(),
        "local": {"claimName": "bundles"},
        "path": f"a/shop/{BUNDLE}",
        "sizeBytes": len(CONTENT),
        "sha256": SHA256,
    }
    result = find(SearchPlan.model_validate_json(json.dumps(fields | changes)), make_context(mounts))
    assert (result.outcome, result.run_uid) == (Outcome.SUCCEEDED, "anew")
    return result


def test_a_bundle_that_is_there_is_read_to_its_end_and_reported_as_it_was_stored(mounts: Mounts) -> None:
    result = searched(mounts)
    assert result.bundle
    assert (result.bundle.path, result.bundle.sha256, result.bundle.user_id) == (f"a/shop/{BUNDLE}", SHA256, 10001)
    assert result.bundle.completed.isoformat() == "2026-03-01T02:00:00+00:00"
    assert result.message.startswith(f"a/shop/{BUNDLE} of claim bundles is there (2.9 MiB), and all of it was read")


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _linked(name: str) -> Callable[[Path], None]:
    def to_itself_elsewhere(folder: Path) -> None:
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)

    return to_itself_elsewhere


def _folder(name: str) -> Callable[[Path], None]:
    def instead(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return instead


def _through_a_link(folder: Path) -> None:
    folder.rename(folder.with_name("other"))
    folder.symlink_to("other")


def _through_a_file(folder: Path) -> None:
    _through_nothing(folder)
    folder.write_text("")


def _through_nothing(folder: Path) -> None:
    folder.rename(folder.with_name("other"))


def _damaged(folder: Path) -> None:
    (folder / BUNDLE).write_bytes(b"y" + CONTENT[1:])


def _shortened(folder: Path) -> None:
    (folder / BUNDLE).write_bytes(CONTENT[1:])


def _changed(**changes: object) -> Callable[[Path], None]:
    def record(folder: Path) -> None:
        known = json.loads((folder / RECORD).read_text())
        (folder / RECORD).write_text(json.dumps(known | changes))

    return record


@pytest.mark.parametrize(
    ("done", "words"),
    [
        pytest.param(_without(RECORD), "has no commit record", id="no record"),
        pytest.param(_without(BUNDLE), "is not a file of 3000000 bytes", id="no bundle"),
        pytest.param(_linked(RECORD), "has no commit record", id="record is a link"),
        pytest.param(_linked(BUNDLE), "is not a file of 3000000 bytes", id="bundle is a link"),
        pytest.param(_folder(RECORD), "has no commit record", id="record is a folder"),
        pytest.param(_folder(BUNDLE), "is not a file of 3000000 bytes", id="bundle is a folder"),
        pytest.param(_through_a_link, "is reached through a link or a file", id="link on the way"),
        pytest.param(_through_a_file, "is reached through a link or a file", id="file on the way"),
        pytest.param(_through_nothing, "has no commit record", id="no folder"),
        pytest.param(_damaged, "was damaged since", id="other content"),
        pytest.param(_shortened, "is not a file of 3000000 bytes", id="other size"),
        pytest.param(
            _changed(bundle={"name": BUNDLE, "sizeBytes": len(CONTENT), "sha256": "0" * 64}),
            "is the bundle of another backup",
            id="other checksum",
        ),
        pytest.param(_changed(completed="yesterday"), "has no commit record", id="record without a time"),
    ],
)
def test_anything_but_the_bundle_is_not_found_and_the_message_says_why(
    mounts: Mounts, done: Callable[[Path], None], words: str
) -> None:
    done(mounts.destination / "a" / "shop")
    result = searched(mounts)
    assert result.bundle is None
    assert result.message.startswith(f"a/shop/{BUNDLE} of claim bundles ")
    assert words in result.message


def test_a_bundle_of_a_later_release_is_not_said_to_be_gone(mounts: Mounts) -> None:
    _changed(formatVersion=99)(mounts.destination / "a" / "shop")
    with pytest.raises(
        RunFailed, match="of format 99, which only a later release of this operator can read"
    ) as failure:
        searched(mounts)
    assert failure.value.reason is Reason.FILE_UNREADABLE


@pytest.mark.parametrize("path", ["../a/shop/one.tar.gz", "/a/shop/one.tar.gz", "a//one.tar.gz", "a/shop/", "", ".."])
def test_a_path_that_is_not_inside_the_claim_is_not_followed(mounts: Mounts, path: str) -> None:
    result = searched(mounts, path=path)
    assert result.bundle is None
    assert "is not the path of a file inside the claim" in result.message
