"""What a database of a restore says about itself is read as it was written, and no other comment is taken for it."""

from datetime import UTC, datetime

import pytest

from quotenode_backup.runner.postgres.restore.databases import Database, Locale
from quotenode_backup.runner.postgres.restore.marker import Marker, NewerMarker, parse_marker

MARKER = Marker(
    state="Kept",
    database="shop",
    restore_uid="11111111-2222-3333-4444-555555555555",
    attempt=2,
    bundle_sha256="a" * 64,
    oid=16385,
    postmaster_started=datetime(2026, 3, 1, 2, 0, 0, 123456, tzinfo=UTC),
    expires=datetime(2026, 3, 8, tzinfo=UTC),
    comment='{"it\'s": "ours"}\nü',
)


def test_a_marker_is_read_as_it_was_written() -> None:
    assert parse_marker(MARKER.to_comment()) == MARKER


@pytest.mark.parametrize(
    "comment", [None, "", "production", "{}", "[]", '{"quotenodeRestore": 1}', '{"quotenodeRestore": 0}', "null"]
)
def test_other_comments_are_not_markers(comment: str | None) -> None:
    assert parse_marker(comment) is None


def test_a_marker_of_a_later_release_is_told_from_others() -> None:
    assert isinstance(parse_marker('{"quotenodeRestore": 2, "what": "ever"}'), NewerMarker)


@pytest.mark.parametrize(
    ("name", "state", "is_ours"),
    [
        ("shop_before_0123456789", "Kept", True),
        ("qnr_0123456789", "Complete", True),
        ("qnr_0123456789", "Loading", True),
        ("qnr_0123456789", "Kept", False),
        ("shop_before_0123456789", "Complete", False),
        ("shop", "Kept", False),
        ("shop", "Complete", False),
    ],
)
def test_a_marker_counts_only_with_the_name_that_belongs_to_it(name: str, state: str, is_ours: bool) -> None:
    comment = MARKER.model_copy(update={"state": state}).to_comment()
    found = Database(16385, name, "o", "pg_default", comment, Locale("UTF8", "C", "C"))
    assert (found.marker is not None) is is_ours
