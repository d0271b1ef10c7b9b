"""One read of many objects, shared by all who wait for it: many callers cost the API server no more than one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class SharedRead(Generic[Found]):
    """Each caller gets the result of a read that began after the call, and shares it with all earlier callers."""

    def __init__(self, read: Callable[[], Awaitable[Found]]) -> None:
        self._read = read
        self._turn = asyncio.Lock()
        self._last: tuple[int, Found] | None = None
        self.begun = 0
        """How many reads have begun, including one that is under way."""

    async def __call__(self) -> tuple[int, Found]:
        """The number of the read, counted from 1, and its result. Raises what the read raises."""
        asked_after = self.begun
        async with self._turn:
            if self._last and self._last[0] > asked_after:
                return self._last
            self.begun += 1
            self._last = (self.begun, await self._read())
            return self._last

    @property
    def is_under_way(self) -> bool:
        return self._turn.locked()
