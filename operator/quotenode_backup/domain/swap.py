"""How the entries of a live folder and those of a staged one change places, as a function of what is on the disk.

A swap has two steps. First each entry of the live folder moves to `old`, and then each entry of `new` moves into the live folder. Every move is one
rename, so whatever kills a swap leaves each entry in exactly one place, and where it is says how far the swap came. No record of the progress is
needed, which could be wrong. `new` and `old` are private: only the swap moves anything in or out. So an entry that has left `new` is in the live
folder, and an entry of the live folder whose name is in `old` came later than the one in `old`.

Others may write into the live folder meanwhile, although the application is stopped. What they write is never overwritten and never removed:

- It stays where its writer put it, as long as the swap does not need the name.
- Otherwise it moves to `late`, since the promise that a folder is whole old or whole new is worth more than the place of one entry that came between
  the two. `late` is kept as long as the replaced entries are.
- An entry that has vanished is not missed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Which entries the live folder must have in the end."""

    OLD = "old"
    NEW = "new"


class Place(StrEnum):
    LIVE = "live"
    NEW = "new"
    OLD = "old"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Intent:
    """What the journal says. It was written before the first rename and never changes."""

    replaced: frozenset[str]
    """The names in the live folder before the swap."""
    restored: frozenset[str]
    """The names in `new` before the swap."""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """The names that are in each place now."""

    live: frozenset[str]
    new: frozenset[str]
    old: frozenset[str]


@dataclass(frozen=True, slots=True)
class Move:
    name: str
    source: Place
    target: Place


@dataclass(frozen=True, slots=True)
class Step:
    """Moves that may be made in any order. All of them are on the disk before the next step begins."""

    moves: tuple[Move, ...]


def next_step(intent: Intent, disk: OnDisk, side: Side) -> Step | None:
    """None when the live folder has the entries of `side`. After each step the disk is read again."""
    steps = _forward(intent, disk) if side is Side.NEW else _back(intent, disk)
    return next((Step(moves) for moves in steps if moves), None)


def _forward(intent: Intent, disk: OnDisk) -> Iterator[tuple[Move, ...]]:
    waiting = intent.restored & disk.new
    arrived = intent.restored - disk.new
    yield _moves(intent.replaced & disk.live - disk.old - arrived, Place.LIVE, Place.OLD)
    yield _moves(waiting & disk.live, Place.LIVE, Place.LATE)
    yield _moves(waiting, Place.NEW, Place.LIVE)


def _back(intent: Intent, disk: OnDisk) -> Iterator[tuple[Move, ...]]:
    arrived = intent.restored - disk.new
    yield _moves(arrived & disk.live, Place.LIVE, Place.NEW)
    returning = intent.replaced & disk.old
    yield _moves(returning & disk.live, Place.LIVE, Place.LATE)
    yield _moves(returning, Place.OLD, Place.LIVE)


def _moves(names: frozenset[str], source: Place, target: Place) -> tuple[Move, ...]:
    return tuple(Move(name, source, target) for name in sorted(names))
