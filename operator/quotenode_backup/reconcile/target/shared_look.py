"""One look at many objects, shared by all who wait for it: a crowd costs the API server no more than one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Seen = TypeVar("Seen")


class SharedLook(Generic[Seen]):
    """Whoever asks gets what a look saw that began after the question, and shares it with everybody who asked before it began."""

    def __init__(self, look: Callable[[], Awaitable[Seen]]) -> None:
        self._look = look
        self._turn = asyncio.Lock()
        self._last: tuple[int, Seen] | None = None
        self.begun = 0
        """How many looks there have been, that under way included."""
        self.waiting = 0
        """How many wait for a look."""

    async def __call__(self) -> tuple[int, Seen]:
        """The number of the look, counted from 1, and what it saw. Raises what the look raises."""
        self.waiting += 1
        try:
            return await self._seen(self.begun)
        finally:
            self.waiting -= 1
            if not self.waiting:
                self._last = None  # it can be large, and whoever asks later must not get it

    async def _seen(self, asked_after: int) -> tuple[int, Seen]:
        async with self._turn:
            if self._last and self._last[0] > asked_after:
                return self._last
            self.begun += 1
            self._last = (self.begun, await self._look())
            return self._last
