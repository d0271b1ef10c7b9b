"""One read of many objects, shared by everybody who waits for it: a crowd costs the API server no more than one resource does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Content = TypeVar("Content")


class SharedRead(Generic[Content]):
    """Whoever asks gets what a read found that began after the question, and shares it with all who asked before it began."""

    def __init__(self, read: Callable[[], Awaitable[Content]]) -> None:
        self._read = read
        self._turn = asyncio.Lock()
        self._newest: tuple[int, Content] | None = None
        self.begun = 0
        """The number of reads so far, counting the one that is under way."""
        self.waiting = 0
        """How many callers wait for a read."""

    async def __call__(self) -> tuple[int, Content]:
        """The number of the read, counted from 1, and what it found. Raises what the read raises."""
        self.waiting += 1
        try:
            return await self._begun_after(self.begun)
        finally:
            self.waiting -= 1
            if not self.waiting:
                self._newest = None  # it can be large, and nobody who asks later may get it

    async def _begun_after(self, number: int) -> tuple[int, Content]:
        async with self._turn:
            if self._newest and self._newest[0] > number:
                return self._newest
            self.begun += 1
            self._newest = (self.begun, await self._read())
            return self._newest
