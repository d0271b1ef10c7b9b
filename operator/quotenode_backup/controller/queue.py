"""A queue of keys. Only one worker at a time works on a key, and changes in the meantime are not lost."""

import asyncio
import random
import time
from collections import OrderedDict
from dataclasses import dataclass

from quotenode_backup.domain.owner import Key

LONGEST_BACKOFF_SECONDS = 60.0
PATIENT_SHARE = 4
"""Of this many keys that are taken, one is taken from the patient line, however long the prompt one is."""

Line = OrderedDict[Key, None]


@dataclass(slots=True)
class Waiting:
    since: float
    line: Line


class KeyQueue:
    """Keys that wait, each at most once, in two lines.

    The prompt line is for what somebody or something waits for: an edit, a deletion, a slot, a Job that goes on. The
    patient line is for what only waits for others, or keeps a record of them: among a thousand runs that ask now and then
    whether they may start, a slot or somebody's edit must not wait for all of them.

    A key that is added while a worker has it is queued again when the worker is done. A key has at most one delayed
    add, and failures back off per key.
    """

    def __init__(self) -> None:
        self._prompt: Line = OrderedDict()
        self._patient: Line = OrderedDict()
        self._ready = asyncio.Semaphore(0)
        """Counts the keys of both lines."""
        self._gets = 0
        self._waiting: dict[Key, Waiting] = {}
        """The keys of both lines, and those that are to join one when the worker that has them is done."""
        self._active: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._taken = asyncio.Event()

    def add(self, key: Key) -> None:
        """There may be something to do."""
        self._add(key, self._prompt)

    def add_patient(self, key: Key) -> None:
        """The object is only looked at to be sure, waits for others, or records what others did."""
        self._add(key, self._patient)

    def _add(self, key: Key, line: Line) -> None:
        timer = self._timers.pop(key, None)
        if timer:
            timer.cancel()
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = Waiting(time.monotonic(), line)
            if key not in self._active:
                self._join(key, line)
        elif waiting.line is self._patient and line is self._prompt:
            self._move_up(key, waiting)

    def _move_up(self, key: Key, waiting: Waiting) -> None:
        waiting.line = self._prompt
        if key in self._patient:
            del self._patient[key]
            self._prompt[key] = None

    def _join(self, key: Key, line: Line) -> None:
        line[key] = None
        self._ready.release()

    def add_after(self, key: Key, seconds: float, *, is_patient: bool = False) -> None:
        """Of two delayed adds, the earlier one counts."""
        loop = asyncio.get_running_loop()
        when, timer = loop.time() + seconds, self._timers.get(key)
        if timer and timer.when() <= when:
            return
        if timer:
            timer.cancel()
        self._timers[key] = loop.call_at(when, self.add_patient if is_patient else self.add, key)

    async def get(self) -> Key:
        await self._ready.acquire()
        self._gets += 1
        first, second = (self._prompt, self._patient) if self._gets % PATIENT_SHARE else (self._patient, self._prompt)
        key, _ = (first or second).popitem(last=False)
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
        if waiting := self._waiting.get(key):
            self._join(key, waiting.line)

    @property
    def depth(self) -> int:
        """How many keys wait for a worker."""
        return len(self._waiting)

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest waiting key has waited."""
        now = time.monotonic()
        return now - min((waiting.since for waiting in list(self._waiting.values())), default=now)
