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

    async def __call__(self) -> tuple[int, Seen]:
        """The number of the look, counted from 1, and what it saw. Raises what the look raises."""
        asked_after = self.begun
        async with self._turn:
            if self._last and self._last[0] > asked_after:
                return self._last
            self.begun += 1
            self._last = (self.begun, await self._look())
            return self._last

    @property
    def is_under_way(self) -> bool:
        return self._turn.locked()
