"""The queue: one worker per key, no key lost, and none queued twice."""

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from quotenode_backup.controller.queue import PATIENT_SHARE, KeyQueue
from quotenode_backup.controller.resync import WAITING_AT_MOST, feed
from quotenode_backup.domain.owner import Key

A, B = Key("QuoteNodeBackup", "shop", "a"), Key("QuoteNodeBackup", "shop", "b")
Story = Callable[[KeyQueue], Coroutine[Any, Any, None]]


def run_in_loop(story: Story) -> None:
    async def whole() -> None:
        await asyncio.wait_for(story(KeyQueue()), 5)

    asyncio.run(whole())


def test_a_key_that_waits_is_not_queued_twice() -> None:
    async def story(queue: KeyQueue) -> None:
        for key in (A, A, B, A):
            queue.add(key)
        assert [await queue.get(), await queue.get()] == [A, B]
        assert queue.depth == 0

    run_in_loop(story)


def test_a_key_that_changes_while_it_is_worked_on_is_queued_again_afterwards() -> None:
    async def story(queue: KeyQueue) -> None:
        queue.add(A)
        await queue.get()
        for key in (A, A, B):
            queue.add(key)
        assert await queue.get() == B
        assert queue.depth == 1
        queue.done(A)
        assert await queue.get() == A
        assert queue.depth == 0

    run_in_loop(story)


def a_crowd() -> list[Key]:
    return [Key("QuoteNodeBackup", "shop", f"waits-{number}") for number in range(100)]


def test_what_has_changed_is_taken_before_a_crowd_that_only_waits() -> None:
    async def story(queue: KeyQueue) -> None:
        for one in a_crowd():
            queue.add_patient(one)
        queue.add(A)
        assert A in [await queue.get(), await queue.get()]

    run_in_loop(story)


def test_a_slot_that_has_come_is_taken_before_a_crowd_that_asks_again() -> None:
    async def story(queue: KeyQueue) -> None:
        for one in a_crowd():
            queue.add_after(one, 0.01, is_patient=True)
        queue.add_after(A, 0.02)
        await asyncio.sleep(0.05)
        assert A in [await queue.get(), await queue.get()]

    run_in_loop(story)


def test_a_patient_key_that_changes_is_taken_once_and_before_the_others() -> None:
    async def story(queue: KeyQueue) -> None:
        queue.add_patient(B)
        queue.add_patient(A)
        queue.add(A)
        assert [await queue.get(), await queue.get()] == [A, B]
        assert queue.depth == 0

    run_in_loop(story)


def test_what_only_waits_gets_its_turn_however_much_changes() -> None:
    async def story(queue: KeyQueue) -> None:
        queue.add_patient(B)
        for one in a_crowd():
            queue.add(one)
        assert B in [await queue.get() for _ in range(PATIENT_SHARE)]

    run_in_loop(story)


def test_the_earlier_of_two_delayed_adds_counts_once() -> None:
    async def story(queue: KeyQueue) -> None:
        queue.add_after(A, 60)
        queue.add_after(A, 0.01)
        queue.add_after(A, 60)
        assert await queue.get() == A
        queue.done(A)
        queue.add(B)
        assert await queue.get() == B

    run_in_loop(story)


def test_an_add_makes_a_delayed_one_needless() -> None:
    async def story(queue: KeyQueue) -> None:
        queue.add_after(A, 0.01)
        queue.add(A)
        assert await queue.get() == A
        queue.done(A)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 0.1)

    run_in_loop(story)


def test_a_delayed_add_that_comes_due_in_the_middle_of_the_work_waits_for_its_end() -> None:
    async def story(queue: KeyQueue) -> None:
        queue.add(A)
        await queue.get()
        queue.add_after(A, 0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 0.1)
        queue.done(A)
        assert await queue.get() == A

    run_in_loop(story)


def test_a_failed_key_is_queued_again_by_itself_but_not_at_once() -> None:
    async def story(queue: KeyQueue) -> None:
        queue.add(A)
        queue.failed(await queue.get())
        assert queue.depth == 0
        assert await queue.get() == A

    run_in_loop(story)


class Skipping(selectors.SelectSelector):
    """A selector that does not wait but moves its clock to the end of the timeout."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0
        return super().select(0)


def tell_in_no_time(story: Story) -> None:
    """Runs in an event loop whose clock jumps to what is due next."""
    selector = Skipping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(asyncio.wait_for(story(KeyQueue()), 3600))


def test_each_failure_in_a_row_doubles_the_pause_up_to_a_minute_and_a_success_ends_the_row() -> None:
    async def story(queue: KeyQueue) -> None:
        loop = asyncio.get_running_loop()

        async def pause() -> float:
            queue.failed(A)
            since = loop.time()
            await queue.get()
            return loop.time() - since

        queue.add(A)
        await queue.get()
        for longest in (0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60):
            assert longest / 2 <= await pause() <= longest + 0.001
        queue.done(A)
        queue.add(A)
        await queue.get()
        assert await pause() <= 0.501

    tell_in_no_time(story)


def test_workers_share_the_keys_and_never_one_key() -> None:
    async def story(queue: KeyQueue) -> None:
        keys = [Key("QuoteNodeBackup", "shop", str(number)) for number in range(20)]
        active: list[Key] = []
        most = 0
        begun: Counter[Key] = Counter()
        idle = asyncio.Event()

        async def work() -> None:
            nonlocal most
            while True:
                key = await queue.get()
                assert key not in active
                active.append(key)
                most = max(most, len(active))
                begun[key] += 1
                if begun[key] == 1:
                    queue.add(key)
                for _ in range(3):
                    await asyncio.sleep(0)
                active.remove(key)
                queue.done(key)
                if not active and not queue.depth:
                    idle.set()

        workers = [asyncio.create_task(work()) for _ in range(4)]
        for key in keys:
            queue.add(key)
        await asyncio.wait([*workers, asyncio.create_task(idle.wait())], return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            worker.cancel()
        results = await asyncio.gather(*workers, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 4
        assert begun == dict.fromkeys(keys, 2)
        assert most == 4

    run_in_loop(story)


def test_the_oldest_key_tells_how_far_behind_the_workers_are() -> None:
    async def story(queue: KeyQueue) -> None:
        assert queue.oldest_seconds == 0
        queue.add(A)
        await asyncio.sleep(0.01)
        assert queue.oldest_seconds >= 0.01

    run_in_loop(story)


def test_an_event_in_the_middle_of_a_resync_does_not_wait_behind_all_of_it() -> None:
    async def story(queue: KeyQueue) -> None:
        keys = [Key("QuoteNodeBackup", "shop", str(number)) for number in range(10 * WAITING_AT_MOST)]
        feeding = asyncio.create_task(feed(queue, keys))
        await asyncio.sleep(0)
        queue.add(A)
        seen: list[Key] = []
        while len(seen) < len(keys) + 1:
            seen.append(await queue.get())
            queue.done(seen[-1])
        await feeding
        assert set(seen) == {A, *keys}
        assert seen.index(A) <= WAITING_AT_MOST

    run_in_loop(story)
