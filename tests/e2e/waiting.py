"""Waiting for a cluster: by looking now and then, never by sleeping for a guessed time."""

import select
import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

LOOK_EVERY_SECONDS = 0.5  # each look is a kubectl, which costs a tenth of a second of a processor


def eventually(look: Callable[[], Seen | None], what: str, within: float) -> Seen:
    """The first true thing that `look` returns; after `within` seconds a failure that says what never came, and what was there instead."""
    until = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < until, f"after {within:g} s still not so: {what}; last seen: {seen!r}"
        select.select([], [], [], LOOK_EVERY_SECONDS)
    return seen
