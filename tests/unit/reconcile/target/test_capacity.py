"""How many runs may be at work at a time, and how often the waiting ones ask for a place."""

import uuid

import pytest

from quotenode_backup.reconcile.target.capacity import ASKED_PER_SECOND, SPREAD_SECONDS, AtCapacity, spread


@pytest.mark.parametrize("crowd", [1, 100, 1000, 5000])
def test_any_number_of_waiting_runs_asks_equally_often_and_spread_over_time(crowd: int) -> None:
    pauses = [spread(str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))), crowd).total_seconds() for n in range(crowd)]
    assert max(pauses) <= max(SPREAD_SECONDS, 2 * crowd / ASKED_PER_SECOND)
    assert crowd / (sum(pauses) / crowd + 2) <= 1.1 * ASKED_PER_SECOND
    assert len({int(pause) for pause in pauses}) >= min(crowd, SPREAD_SECONDS) / 2


def test_the_order_of_waiting_runs_follows_from_their_uids_and_outlives_a_restart() -> None:
    uids = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in range(50)]
    assert sorted(uids, key=lambda uid: spread(uid, 50)) == sorted(uids, key=lambda uid: spread(uid, 5000))


@pytest.mark.parametrize(("count", "expected"), [(1, "1 backup is running, and"), (10, "10 backups are running, and")])
def test_at_capacity_the_message_says_how_many_backups_are_running(count: int, expected: str) -> None:
    assert AtCapacity(count).sentence.startswith(expected)
