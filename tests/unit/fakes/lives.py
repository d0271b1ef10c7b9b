"""Lives in a cluster in memory: operators that go round, die, and leave everything settled."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.controller.resync import Found, collect
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.pod import RunnerSettings
from quotenode_backup.reconcile.dispatch import Dispatcher
from tests.unit.fakes.world import EVENTS, JOBS, LEASES, RUNS, Client, Killed, Script, World

Answer = TypeVar("Answer")
RUNNER = RunnerSettings("image", "IfNotPresent", "default", "json")
PATIENCE = 4000
"""Seconds of the world's time until everything must be at rest."""


_operators: WeakKeyDictionary[Client, Dispatcher] = WeakKeyDictionary()


def reconciler(world: World, client: Client) -> Dispatcher:
    """The one of this client: the next operator has a connection, and a memory, of its own."""
    if client not in _operators:
        policy = AdmissionPolicy(client, client.policy)
        _operators[client] = Dispatcher(
            Cluster(client),
            RUNNER,
            "operator",
            clock=lambda: world.now,
            policy=policy,
        )
    return _operators[client]


def finished(whole: Coroutine[Any, Any, Answer]) -> Answer:
    """Nothing in a world of memory ever waits, so no event loop is needed."""
    try:
        whole.send(None)
    except StopIteration as done:
        return cast("Answer", done.value)
    raise AssertionError("it waits")


async def one_round(client: Client) -> bool:
    """What a resync finds gets one pass each; whether it found anything."""
    found = Found()
    await collect(Cluster(client), "shop", found)
    for key in sorted(found.keys):
        try:
            await reconciler(client.world, client).reconcile(key)
        except ApiError:
            continue
    return bool(found.keys)


def to_rest(world: World, client: Client | None = None) -> Client:
    client = client or Client(world)
    for _ in range(PATIENCE):
        if not finished(one_round(client)):
            return client
        world.tick()
    raise AssertionError(f"not at rest: {[item.get('status') for item in world.in_(RUNS)]}")


def live_until(end: datetime) -> Callable[[World, Client | None], Client]:
    """A schedule is never at rest: the world goes on until then."""

    def live(world: World, client: Client | None) -> Client:
        client = client or Client(world)
        while world.now < end:
            finished(one_round(client))
            world.tick()
        return client

    return live


def assert_settled(world: World) -> None:
    """Everything finished, every Job made once and with a time to live, every Event told once, every lock free."""
    made = [path for path in world.created if path.startswith(JOBS)]
    assert len(made) == len(set(made))
    assert all("ttlSecondsAfterFinished" in job["spec"] for job in world.in_(JOBS))
    assert [lease["spec"]["holderIdentity"] for lease in world.in_(LEASES) if lease["spec"]["holderIdentity"]] == []
    for run in world.in_(RUNS):
        if "schedule" in run["spec"]:
            continue
        assert run["status"]["phase"] in {"Completed", "Failed"}
        has_bundle = run["metadata"]["uid"] in world.committed
        # A pod that is lost after its commit can't say so. The next attempt finds the bundle, if there is one and it comes so far.
        # And one that was scaled up was no offline backup, though its pod may have been just done.
        reasons = {attempt.get("reason") for attempt in run["status"].get("attempts", [])} | {run["status"]["reason"]}
        assert has_bundle == (run["status"]["phase"] == "Completed") or (
            has_bundle and reasons & {"PodLost", "WorkloadScaledUp", "SpecInvalid"}
        )


def ends_with(*reasons: Reason) -> Script:
    """The attempts of a run end so, one after the other; the last reason stays."""
    return lambda plan: reasons[min(plan.attempt, len(reasons)) - 1]


GOES_WELL = ends_with(Reason.COMPLETED)


def event_reasons(world: World) -> list[str]:
    return [event["reason"] for event in world.in_(EVENTS)]


def killer(number: int) -> Callable[[str, str], None]:
    """Dies at the n-th time that it is about to write or has just written."""
    count = itertools.count(1)

    def interrupt(moment: str, _: str) -> None:
        if moment in {"before", "after"} and next(count) == number:
            raise Killed

    return interrupt


def killed_everywhere(
    made: Callable[[], World],
    check: Callable[[World], None],
    least: int,
    live: Callable[[World, Client | None], Client] = to_rest,
) -> None:
    """The operator dies before and after each write of a life, and starts anew: `check` holds each time. `least` writes are expected."""
    writes = live(made(), None).writes
    assert len(writes) >= least, writes
    for number in range(1, 2 * len(writes) + 1):
        world = made()
        try:
            live(world, Client(world, killer(number)))
        except Killed:
            live(world, None)
        try:
            check(world)
        except AssertionError as error:
            raise AssertionError(f"killed at {number} of {writes}") from error


class _Yielding(Client):
    """Hands the turn over before each request."""

    async def read(self, path: str, query: Any = None) -> Any:
        await asyncio.sleep(0)
        return await super().read(path, query)

    async def pages(self, path: str, query: Any = None) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        async for page in super().pages(path, query):
            yield page

    async def write(self, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
        await asyncio.sleep(0)
        return await super().write(method, path, body, content_type)


class Operator:
    """A process that makes one request a step. Killed, it starts anew with nothing in its memory."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._life: Coroutine[Any, Any, None] | None = None

    def step(self) -> None:
        self._life = self._life or self._live()
        self._life.send(None)

    def kill(self) -> None:
        if self._life:
            self._life.close()
        self._life = None

    async def _live(self) -> None:
        client = _Yielding(self._world)
        while True:
            await one_round(client)
            await asyncio.sleep(0)
