"""The names of a restore's databases follow from its UID, fit into PostgreSQL's names, and are told from all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.domain.restore_names import LONGEST_NAME, is_kept_name, is_scratch_name, kept_name, scratch_name

UID = "11111111-2222-3333-4444-555555555555"
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=63)


def test_names_follow_from_the_uid() -> None:
    assert scratch_name(UID) == scratch_name(UID) != scratch_name(UID.replace("1", "6"))
    assert kept_name("quotenode", UID) == f"quotenode_before_{scratch_name(UID).removeprefix('qnr_')}"


@given(names)
def test_a_kept_name_fits_and_is_known_by_its_end(database: str) -> None:
    kept = kept_name(database, UID)
    assert len(kept.encode()) <= LONGEST_NAME
    assert is_kept_name(kept)
    assert database.startswith(kept[: -len("_before_0123456789")])


def test_a_long_name_is_cut_between_two_characters() -> None:
    assert kept_name("ä" * 31, UID).startswith("ä" * 22 + "_before_")


@pytest.mark.parametrize(
    "name", ["qnr_", "qnr_0123456789a", "qnr_012345678G", "a_qnr_0123456789", "quotenode", "qnr_0123456789\n"]
)
def test_other_names_are_not_of_a_scratch_database(name: str) -> None:
    assert not is_scratch_name(name)
    assert is_scratch_name(scratch_name(UID))


@pytest.mark.parametrize("name", ["a_before_", "a_before_2026", "a_before_0123456789x", "a_before_0123456789\n"])
def test_other_names_are_not_of_a_kept_database(name: str) -> None:
    assert not is_kept_name(name)
