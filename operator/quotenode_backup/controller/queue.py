"""A queue of keys: each key is worked on by one worker at a time, and nothing that happens meanwhile is lost."""

import asyncio
import random
import time
from collections.abc import Iterable

from quotenode_backup.domain.owner import Key

LONGEST_BACKOFF_SECONDS = 60.0


class KeyQueue:
    """At most one reconcile per key. A key added while it is worked on comes again; delayed adds never get lost and never double;
    failures back off per key."""

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

    def add_all(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.add(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """The earlier of two delayed adds counts."""
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
        """Until fewer than `most` keys wait."""
        while self.depth >= most:
            self._taken.clear()
            await self._taken.wait()

    def done(self, key: Key) -> None:
        self._failures.pop(key, None)
        self._leave(key)

    def failed(self, key: Key) -> None:
        """The key comes again by itself, later after each failure in a row."""
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
        """Keys that wait for a worker."""
        return len(self._waiting)

    @property
    def oldest_seconds(self) -> float:
        """How long the key that has waited longest has done so."""
        now = time.monotonic()
        return now - min(list(self._waiting.values()), default=now)
