"""A second copy of a database is loaded only where the server's volume can hold it, with a reserve for the live one."""

import pytest

from quotenode_backup.domain.restore_room import Load, Volume, Wal, room

GIB = 1 << 30


def test_what_is_needed_is_the_data_its_wal_and_the_sorting_of_an_index() -> None:
    found = room(Load(10 * GIB, largest_index_bytes=GIB), Wal(2 * GIB), Volume(100 * GIB, 200 * GIB))
    assert found.needed_bytes == 11 * GIB + 2 * GIB + GIB
    assert found.reserve_bytes == 20 * GIB
    assert found.budget_bytes == 80 * GIB
    assert found.suffices
    assert not found.lack


def test_a_small_database_writes_less_wal_than_the_server_may_keep() -> None:
    assert room(Load(GIB), Wal(2 * GIB), Volume(100 * GIB)).needed_bytes == GIB * 11 // 10 + GIB * 9 // 10


def test_all_wal_stays_where_the_archiver_fails_or_a_slot_lags() -> None:
    kept = room(Load(100 * GIB), Wal(GIB, is_kept=True), Volume(500 * GIB))
    assert kept.needed_bytes == 110 * GIB + 90 * GIB


def test_the_reserve_is_at_least_twice_the_wal_that_the_server_may_keep() -> None:
    assert room(Load(GIB), Wal(8 * GIB), Volume(100 * GIB, 100 * GIB)).reserve_bytes == 16 * GIB


def test_of_a_volume_of_unknown_size_a_tenth_of_what_is_free_is_left() -> None:
    assert room(Load(GIB), Wal(GIB), Volume(100 * GIB)).reserve_bytes == 10 * GIB


@pytest.mark.parametrize("free", [0, GIB, 13 * GIB])
def test_where_there_is_no_room_the_bytes_are_named(free: int) -> None:
    found = room(Load(10 * GIB), Wal(GIB), Volume(free, 20 * GIB))
    assert not found.suffices
    assert found.budget_bytes >= 0
    assert "12.0 GiB" in found.lack
    assert "2.0 GiB free" in found.lack


def test_room_that_is_just_enough_suffices() -> None:
    assert room(Load(10 * GIB), Wal(GIB), Volume(14 * GIB, 20 * GIB)).suffices
    assert not room(Load(10 * GIB), Wal(GIB), Volume(14 * GIB - 1, 20 * GIB)).suffices
