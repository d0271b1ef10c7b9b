"""Whole lives of resources in a cluster in memory, with operators that make passes, die and settle everything."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from quotenode_backup.api.backup import KIND
from quotenode_backup.api.restore import KIND as RESTORE_KIND
from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.controller.resync import Found, collect
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.pod import RunnerSettings
from quotenode_backup.reconcile.dispatch import Dispatcher
from quotenode_backup.reconcile.jobs.context import Context
from tests.unit.fakes.world import EVENTS, JOBS, LEASES, RUNS, Client, Killed, Script, World

Answer = TypeVar("Answer")
RUNNER = RunnerSettings("image", "IfNotPresent", "default", "json")
ROUNDS_TO_REST = 4000
"""After so many rounds everything must be at rest."""


_operators: WeakKeyDictionary[Client, Dispatcher] = WeakKeyDictionary()


def context(world: World, client: Client) -> Context:
    return Context.of(Cluster(client), RUNNER, "operator", lambda: world.now)


def reconciler(world: World, client: Client) -> Dispatcher:
    """The dispatcher of this client: another operator has a connection, and a memory, of its own."""
    if client not in _operators:
        policies = {
            KIND: AdmissionPolicy(client, client.policy),
            RESTORE_KIND: AdmissionPolicy(client, client.restore_policy),
        }
        _operators[client] = Dispatcher(context(world, client), policies=policies)
    return _operators[client]


def finished(whole: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of a coroutine. Nothing in a world in memory ever waits, so no event loop is needed."""
    try:
        whole.send(None)
    except StopIteration as done:
        return cast("Answer", done.value)
    raise AssertionError("it waits")


async def one_round(client: Client) -> bool:
    """One pass over each resource that a resync finds. Returns whether there was any."""
    found = Found()
    await collect(Cluster(client), "shop", found)
    for key in sorted(found.keys):
        try:
            await reconciler(client.world, client).reconcile(key)
        except ApiError:
            continue
    return bool(found.keys)


def rounds(client: Client, count: int = 5) -> None:
    """So many rounds over everything, with time passing after each."""
    for _ in range(count):
        finished(one_round(client))
        client.world.tick()


def rounds_until(client: Client, is_reached: Callable[[], bool]) -> None:
    """Rounds over everything, with time passing in between, until the world is in the state that a test starts from."""
    while not is_reached():
        finished(one_round(client))
        client.world.tick()


def to_rest(world: World, client: Client | None = None) -> Client:
    client = client or Client(world)
    for _ in range(ROUNDS_TO_REST):
        if not finished(one_round(client)):
            return client
        world.tick()
    raise AssertionError(f"not at rest: {[item.get('status') for item in world.in_(RUNS)]}")


def live_until(end: datetime) -> Callable[[World, Client | None], Client]:
    """A life that ends at this time, since a schedule is never at rest."""

    def live(world: World, client: Client | None) -> Client:
        client = client or Client(world)
        while world.now < end:
            finished(one_round(client))
            world.tick()
        return client

    return live


def assert_settled(world: World) -> None:
    """Every run is finished, every Job was created once and has a time to live, and every lock is free."""
    made = [path for path in world.created if path.startswith(JOBS)]
    assert len(made) == len(set(made))
    assert all("ttlSecondsAfterFinished" in job["spec"] for job in world.in_(JOBS))
    assert [lease["spec"]["holderIdentity"] for lease in world.in_(LEASES) if lease["spec"]["holderIdentity"]] == []
    for run in world.in_(RUNS):
        if "schedule" in run["spec"]:
            continue
        assert run["status"]["phase"] in {"Completed", "Failed"}
        has_bundle = run["metadata"]["uid"] in world.committed
        # A pod that is lost after its commit can't report the bundle, which the next attempt finds, if there is one that
        # gets so far. An offline backup whose application was scaled up has failed, though its pod may have succeeded.
        reasons = {attempt.get("reason") for attempt in run["status"].get("attempts", [])} | {run["status"]["reason"]}
        assert has_bundle == (run["status"]["phase"] == "Completed") or (
            has_bundle and reasons & {"PodLost", "WorkloadScaledUp", "SpecInvalid"}
        )


def ends_with(*reasons: Reason) -> Script:
    """The attempts of a run end with these reasons, one after the other, and all later ones with the last reason."""
    return lambda plan: reasons[min(plan.attempt, len(reasons)) - 1]


GOES_WELL = ends_with(Reason.COMPLETED)


def event_reasons(world: World) -> list[str]:
    return [event["reason"] for event in world.in_(EVENTS)]


def killer(number: int) -> Callable[[str, str], None]:
    """Kills the operator at the n-th time that it is about to write or has just written."""
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
    """The operator is killed before and after each write of a life and starts again. `check` must hold each time.

    `least`: how many writes the life must have at least.
    """
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


def failing(number: int, error: ApiError, moment: str = "before") -> Callable[[str, str], None]:
    """The n-th write is answered with this error: `before` it was made, or although it was made, `after`."""
    count = itertools.count(1)

    def interrupt(when: str, _: str) -> None:
        if when == moment and next(count) == number:
            raise error

    return interrupt


class _Yielding(Client):
    """Yields to the other operators before each request."""

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
    """A process that makes one request per step. After it was killed it starts with nothing in its memory."""

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
