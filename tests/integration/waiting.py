"""Waiting for what others do: by looking often, never by sleeping for a guessed time."""

import select
import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

LOOK_EVERY = 0.005


def eventually(look: Callable[[], Seen | None], what: str, seconds: float = 20) -> Seen:
    """The first true thing that `look` returns; after `seconds`, a failure that says `what` never came."""
    until = time.monotonic() + seconds
    while True:
        if seen := look():
            return seen
        if time.monotonic() > until:
            raise AssertionError(f"after {seconds:g} s still not so: {what}")
        pause()


def pause(seconds: float = LOOK_EVERY) -> None:
    select.select([], [], [], seconds)
