"""A worker goes on, whatever one object contains."""

import asyncio
from typing import Any

import pytest

from quotenode_backup.controller.app import _work
from quotenode_backup.controller.metrics import Metrics
from quotenode_backup.controller.queue import KeyQueue
from quotenode_backup.domain.owner import Key
from tests.unit.fakes.lives import finished, one_round, reconciler
from tests.unit.fakes.world import RUNS, Client, World


@pytest.mark.parametrize("poison", [{"initiatedBy": "Api"}, {"startTime": "9999-12-31T23:59:59Z"}])
def test_an_object_with_impossible_contents_does_not_end_the_worker(poison: dict[str, Any]) -> None:
    world = World()
    client = Client(world)
    world.apply("poisoned")
    finished(one_round(client))
    world.objects[f"{RUNS}/poisoned"]["status"] |= poison
    world.apply("sound", database={"host": "other", "name": "shop", "credentialsSecretRef": {"name": "login"}})

    async def story() -> None:
        queue = KeyQueue()
        worker = asyncio.create_task(_work(queue, reconciler(world, client), Metrics()))
        for _ in range(20):
            queue.add(Key("QuoteNodeBackup", "shop", "poisoned"))
            queue.add(Key("QuoteNodeBackup", "shop", "sound"))
            await asyncio.sleep(0.01)
            world.tick()
        assert not worker.done()
        worker.cancel()

    asyncio.run(story())
    assert world.status("sound")["attempts"]
