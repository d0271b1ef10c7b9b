"""A queue of keys. Only one worker at a time works on a key, and changes in the meantime are not lost."""

import asyncio
import random
import time

from quotenode_backup.domain.owner import Key

LONGEST_BACKOFF_SECONDS = 60.0


class KeyQueue:
    """Keys that wait, each at most once.

    A key that is added while a worker has it is queued again when the worker is done. A key has at most one delayed
    add, and failures back off per key.
    """

    def __init__(self) -> None:
        self._waiting: dict[Key, float] = {}
        self._active: set[Key] = set()
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._taken = asyncio.Event()

    def add(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer:
            timer.cancel()
        if key in self._waiting:
            return
        self._waiting[key] = time.monotonic()
        if key not in self._active:
            self._ready.put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Of two delayed adds, the earlier one counts."""
        loop = asyncio.get_running_loop()
        when, timer = loop.time() + seconds, self._timers.get(key)
        if timer and timer.when() <= when:
            return
        if timer:
            timer.cancel()
        self._timers[key] = loop.call_at(when, self.add, key)

    async def get(self) -> Key:
        key = await self._ready.get()
        del self._waiting[key]
        self._active.add(key)
        self._taken.set()
        return key

    async def room(self, most: int) -> None:
        """Wait until fewer than `most` keys are waiting."""
        while self.depth >= most:
            self._taken.clear()
            await self._taken.wait()

    def done(self, key: Key) -> None:
        self._failures.pop(key, None)
        self._leave(key)

    def failed(self, key: Key) -> None:
        """The key is added again after a pause, which grows with each failure in a row."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(LONGEST_BACKOFF_SECONDS, 0.25 * 2.0 ** min(count, 10))
        self.add_after(key, delay * random.uniform(0.5, 1))
        self._leave(key)

    def _leave(self, key: Key) -> None:
        self._active.discard(key)
        if key in self._waiting:
            self._ready.put_nowait(key)

    @property
    def depth(self) -> int:
        """How many keys wait for a worker."""
        return len(self._waiting)

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest waiting key has waited."""
        now = time.monotonic()
        return now - min(list(self._waiting.values()), default=now)
