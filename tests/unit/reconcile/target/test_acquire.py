"""How often those ask that wait for room."""

import uuid

import pytest

from quotenode_backup.reconcile.target.acquire import ASKED_PER_SECOND, SPREAD_SECONDS, spread


@pytest.mark.parametrize("crowd", [1, 100, 1000, 5000])
def test_a_crowd_of_any_size_asks_about_so_often_and_nobody_at_the_moment_of_all(crowd: int) -> None:
    pauses = [spread(str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))), crowd).total_seconds() for n in range(crowd)]
    assert max(pauses) <= max(SPREAD_SECONDS, 2 * crowd / ASKED_PER_SECOND)
    assert crowd / (sum(pauses) / crowd + 2) <= 1.1 * ASKED_PER_SECOND
    assert len({int(pause) for pause in pauses}) >= min(crowd, SPREAD_SECONDS) / 2


def test_each_has_its_own_place_in_a_crowd_that_another_process_sees_too() -> None:
    uids = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in range(50)]
    assert sorted(uids, key=lambda uid: spread(uid, 50)) == sorted(uids, key=lambda uid: spread(uid, 5000))
