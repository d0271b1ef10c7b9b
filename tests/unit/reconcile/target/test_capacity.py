"""How many may work at a time, and how often those ask that wait."""

import uuid

import pytest

from quotenode_backup.reconcile.target.capacity import ASKED_PER_SECOND, SPREAD_SECONDS, AtCapacity, spread


@pytest.mark.parametrize("crowd", [1, 100, 1000, 5000])
def test_a_crowd_of_any_size_asks_about_so_often_and_nobody_at_the_moment_of_all(crowd: int) -> None:
    pauses = [spread(str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))), crowd).total_seconds() for n in range(crowd)]
    assert max(pauses) <= max(SPREAD_SECONDS, 2 * crowd / ASKED_PER_SECOND)
    assert crowd / (sum(pauses) / crowd + 2) <= 1.1 * ASKED_PER_SECOND
    assert len({int(pause) for pause in pauses}) >= min(crowd, SPREAD_SECONDS) / 2


def test_each_has_its_own_place_in_a_crowd_that_another_process_sees_too() -> None:
    uids = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in range(50)]
    assert sorted(uids, key=lambda uid: spread(uid, 50)) == sorted(uids, key=lambda uid: spread(uid, 5000))


@pytest.mark.parametrize(("count", "words"), [(1, "1 backup is running, and"), (10, "10 backups are running, and")])
def test_without_room_it_says_how_many_are_on(count: int, words: str) -> None:
    assert AtCapacity(count).sentence.startswith(words)
