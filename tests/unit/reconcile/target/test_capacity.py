"""How many runs may be at work at a time, and how often the waiting ones ask for a place."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from quotenode_backup.cluster.errors import Unavailable
from quotenode_backup.cluster.leases import Leases
from quotenode_backup.domain.owner import Owner
from quotenode_backup.manifests import labels
from quotenode_backup.reconcile.target.capacity import (
    ASKED_PER_SECOND,
    SPREAD_SECONDS,
    WAITING_AT_MOST,
    AtCapacity,
    CapacityGate,
    ConcurrencyLimit,
    NotNow,
    spread,
)
from quotenode_backup.reconcile.target.shared_read import SharedRead
from tests.unit.fakes.given import START
from tests.unit.fakes.world import LEASES, Client, World


@pytest.mark.parametrize("crowd", [1, 100, 1000, 5000])
def test_any_number_of_waiting_runs_asks_equally_often_and_spread_over_time(crowd: int) -> None:
    pauses = [spread(str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))), crowd).total_seconds() for n in range(crowd)]
    assert max(pauses) <= max(SPREAD_SECONDS, 2 * crowd / ASKED_PER_SECOND)
    assert crowd / (sum(pauses) / crowd + 2) <= 1.1 * ASKED_PER_SECOND
    assert len({int(pause) for pause in pauses}) >= min(crowd, SPREAD_SECONDS) / 2


def test_the_order_of_waiting_runs_follows_from_their_uids_and_outlives_a_restart() -> None:
    uids = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in range(50)]
    assert sorted(uids, key=lambda uid: spread(uid, 50)) == sorted(uids, key=lambda uid: spread(uid, 5000))


@pytest.mark.parametrize(("count", "words"), [(1, "1 run is at work, and"), (10, "10 runs are at work, and")])
def test_without_room_it_says_how_many_are_on(count: int, words: str) -> None:
    assert AtCapacity(count).sentence.startswith(words)


class Site:
    """A gate before two places, and the Leases that it looks at."""

    def __init__(self, most: int = 2) -> None:
        self.world = World()
        self.looks = 0
        self.release = asyncio.Event()
        self.release.set()
        self.failing_look = 0
        self.gate = CapacityGate(Leases(HeldLooks(self)), ConcurrencyLimit(most, ("shop",)))
        self._seconds = 0

    def later(self) -> datetime:
        """A moment at which nothing that was seen before is good any more."""
        self._seconds += 10
        return START + timedelta(seconds=self._seconds)

    async def enters(self, name: str) -> bool:
        now = self.later()
        full = await self.gate.full(owner(name), now)
        return full is None and self.gate.reserve(owner(name), now) is None

    def holds(self, name: str) -> None:
        """Its Lease is written."""
        body = {"metadata": {"annotations": {labels.HOLDER: name}}, "spec": {"holderIdentity": f"uid-{name}"}}
        self.world.put(LEASES, f"lock-{name}", body)["metadata"]["labels"] = {labels.MANAGED_BY: labels.MANAGER}


class HeldLooks(Client):
    """Lists what there is at the moment at which a look begins, and takes as long as it is told to."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.world)
        self._site = site

    async def pages(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        self._site.looks += 1
        number = self._site.looks
        pages = [page async for page in super().pages(path, query)]
        await self._site.release.wait()
        if number == self._site.failing_look:
            raise Unavailable("the API server is away")
        for page in pages:
            yield page


def owner(name: str) -> Owner:
    return Owner("QuoteNodeBackup", "shop", name, f"uid-{name}")


def test_a_place_is_taken_from_the_reservation_until_a_look_has_seen_the_lease() -> None:
    async def story() -> None:
        site = Site(most=1)
        assert await site.enters("first")
        assert not await site.enters("second"), "it is still to write its Lease"
        site.holds("first")
        site.gate.settled(owner("first"))
        assert not await site.enters("second"), "its Lease is there"
        del site.world.objects[f"{LEASES}/lock-first"]
        assert await site.enters("second")

    asyncio.run(story())


def test_a_lease_that_is_written_during_a_look_that_began_before_is_counted_all_the_same() -> None:
    async def story() -> None:
        site = Site(most=1)
        assert await site.enters("first")
        site.release.clear()
        second = asyncio.create_task(site.enters("second"))
        await asyncio.sleep(0)
        assert site.looks == 2
        site.holds("first")
        site.gate.settled(owner("first"))
        site.release.set()
        assert not await second

    asyncio.run(story())


def test_whoever_did_not_get_its_lock_gives_its_place_back_at_once() -> None:
    async def story() -> None:
        site = Site(most=1)
        now = site.later()
        assert await site.gate.full(owner("first"), now) is None
        assert site.gate.reserve(owner("first"), now) is None
        assert isinstance(await site.gate.full(owner("second"), now), AtCapacity)
        site.gate.withdrawn(owner("first"))
        assert await site.gate.full(owner("second"), now) is None

    asyncio.run(story())


def test_of_two_that_saw_the_same_free_place_one_gets_it() -> None:
    async def story() -> None:
        site = Site(most=1)
        site.release.clear()
        both = [asyncio.create_task(site.gate.full(owner(name), START)) for name in ("first", "second")]
        await asyncio.sleep(0)
        site.release.set()
        assert await asyncio.gather(*both) == [None, None]
        assert site.gate.reserve(owner("first"), START) is None
        assert isinstance(site.gate.reserve(owner("second"), START), AtCapacity)

    asyncio.run(story())


def test_a_look_that_fails_is_told_to_whoever_made_it_and_made_again_for_the_others() -> None:
    async def story() -> None:
        site = Site()
        site.failing_look = 1
        site.release.clear()
        first = asyncio.create_task(site.enters("first"))
        await asyncio.sleep(0)
        second = asyncio.create_task(site.enters("second"))
        site.release.set()
        with pytest.raises(Unavailable):
            await first
        assert await second
        assert site.looks == 2

    asyncio.run(story())


def test_whoever_is_cancelled_while_it_waits_holds_up_nobody() -> None:
    async def story() -> None:
        site = Site()
        site.release.clear()
        first = asyncio.create_task(site.enters("first"))
        await asyncio.sleep(0)
        second = asyncio.create_task(site.enters("second"))
        await asyncio.sleep(0)
        first.cancel()
        site.release.set()
        assert await second

    asyncio.run(story())


def test_a_crowd_that_may_have_room_asks_no_more_often_than_one_that_has_none() -> None:
    async def story() -> None:
        site = Site(most=1)
        assert await site.enters("first")
        crowd = [owner(f"waits-{number}") for number in range(1000)]
        now = site.later()
        assert all([isinstance(await site.gate.full(one, now), AtCapacity) for one in crowd])
        pauses = [site.gate.not_now(one).requeue_after.total_seconds() for one in crowd]
        assert min(pauses) >= 2
        assert len(crowd) / (sum(pauses) / len(pauses)) <= 2 * ASKED_PER_SECOND
        assert len({int(pause) for pause in pauses}) >= len(crowd) / ASKED_PER_SECOND * 0.9

    asyncio.run(story())


def test_a_few_that_may_have_room_ask_again_at_once() -> None:
    assert Site().gate.not_now(owner("one")) == NotNow()


def test_no_more_than_so_many_wait_for_a_look() -> None:
    async def story() -> None:
        site = Site(most=100)
        site.release.clear()
        waiting = [asyncio.create_task(site.enters(f"b{number}")) for number in range(WAITING_AT_MOST)]
        await asyncio.sleep(0)
        assert await site.gate.full(owner("one-more"), START) == NotNow()
        site.release.set()
        assert await asyncio.gather(*waiting) == [True] * WAITING_AT_MOST
        assert site.looks == 2, "one for the first, and one for all who came during it"

    asyncio.run(story())


def test_what_a_look_saw_is_not_kept_for_those_who_ask_later() -> None:
    async def story() -> None:
        seen = [[1], [2]]
        look = SharedRead(lambda: answered(seen.pop(0)))
        assert await look() == (1, [1])
        assert await look() == (2, [2])

    async def answered(value: list[int]) -> list[int]:
        return value

    asyncio.run(story())
