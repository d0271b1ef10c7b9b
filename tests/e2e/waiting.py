"""Waiting for a cluster: by looking now and then, never by sleeping for a guessed time."""

import select
import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

LOOK_EVERY_SECONDS = 0.2
"""At least. A look over the kept connection costs some thousandths of a second of a processor; one by `kubectl exec` costs tenths, and the
pause after it is twice as long as it took, so that looking is never most of what the machine does."""


def eventually(look: Callable[[], Seen | None], what: str, within: float) -> Seen:
    """The first true thing that `look` returns; after `within` seconds a failure that says what never came, and what was there instead."""
    begun = time.monotonic()
    until = begun + within
    while not (seen := look()):
        assert time.monotonic() < until, f"after {within:g} s still not so: {what}; last seen: {seen!r}"
        pause(max(LOOK_EVERY_SECONDS, 2 * (time.monotonic() - begun)))
        begun = time.monotonic()
    return seen


def pause(seconds: float) -> None:
    select.select([], [], [], seconds)
