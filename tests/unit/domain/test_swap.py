"""The swap of a live folder and a staged one: whatever interrupts it, and whoever writes meanwhile."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.domain.swap import Intent, Move, OnDisk, Place, Side, next_step

NAMES = ("a", "b", "c", "d")
names = st.sets(st.sampled_from(NAMES)).map(frozenset)
interruptions = st.lists(st.tuples(st.sampled_from(Side), st.integers(0, 6)), max_size=4)
meddling = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from(["write", "remove"]), st.sampled_from(NAMES)), max_size=4
)


@dataclass
class Disk:
    """Each entry is known by where it came from, so that none can be lost or take the place of another unnoticed."""

    intent: Intent
    meddling: list[tuple[int, str, str]]
    live: dict[str, str] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    old: dict[str, str] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    written: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    clock: int = 0

    def __post_init__(self) -> None:
        self.live |= {name: f"original {name}" for name in self.intent.replaced}
        self.new |= {name: f"restored {name}" for name in self.intent.restored}
        self.written |= {*self.live.values(), *self.new.values()}

    def seen(self) -> OnDisk:
        return OnDisk(frozenset(self.live), frozenset(self.new), frozenset(self.old))

    def go(self, side: Side, most: int = 1000) -> bool:
        """Whether it was done before `most` moves were made, after which it is killed. Gives up on a name that meddling has changed meanwhile."""
        while step := next_step(self.intent, self.seen(), side):
            for move in step.moves:
                self._meddle()
                if not most:
                    return False
                self._make(move)
                most -= 1
        return True

    def _make(self, move: Move) -> None:
        source = {Place.LIVE: self.live, Place.NEW: self.new, Place.OLD: self.old}[move.source]
        if move.name not in source:
            return
        if move.target is Place.LATE:
            self.late.append(source.pop(move.name))
            return
        target = {Place.LIVE: self.live, Place.NEW: self.new, Place.OLD: self.old}[move.target]
        if move.name not in target:
            target[move.name] = source.pop(move.name)

    def _meddle(self) -> None:
        self.clock += 1
        for when, what, name in self.meddling:
            if when == self.clock and what == "remove" and name in self.live:
                self.removed.add(self.live.pop(name))
            if when == self.clock and what == "write" and name not in self.live:
                self.live[name] = f"late {name} {self.clock}"
                self.written.add(self.live[name])

    def everything(self) -> list[str]:
        return [*self.live.values(), *self.new.values(), *self.old.values(), *self.late]


def assert_side(disk: Disk, side: Side) -> None:
    """All that the side promises is there, but for what somebody removed, and nothing of the other side."""
    wanted, other = ("original", "restored") if side is Side.OLD else ("restored", "original")
    promised = {entry for entry in disk.written if entry.startswith(wanted)} - disk.removed
    assert promised <= set(disk.live.values())
    assert not [entry for entry in disk.live.values() if entry.startswith(other)]


@given(names, names, interruptions, st.sampled_from(Side))
def test_a_swap_that_is_killed_anywhere_ends_whole_old_or_whole_new(
    replaced: frozenset[str], restored: frozenset[str], killed: list[tuple[Side, int]], side: Side
) -> None:
    disk = Disk(Intent(replaced, restored), [])
    for towards, moves in killed:
        disk.go(towards, moves)
    assert disk.go(side)
    assert_side(disk, side)
    assert sorted(disk.everything()) == sorted(disk.written)
    assert set(disk.live) == (replaced if side is Side.OLD else restored)


@given(names, names, interruptions, st.sampled_from(Side), meddling)
def test_nothing_is_lost_that_others_write_meanwhile(
    replaced: frozenset[str],
    restored: frozenset[str],
    killed: list[tuple[Side, int]],
    side: Side,
    meddling: list[tuple[int, str, str]],
) -> None:
    disk = Disk(Intent(replaced, restored), meddling)
    for towards, moves in killed:
        disk.go(towards, moves)
    assert disk.go(side)
    assert_side(disk, side)
    assert sorted(disk.everything()) == sorted(disk.written - disk.removed)


@given(names, names, st.sampled_from(Side))
def test_a_swap_that_is_done_has_nothing_left_to_do(
    replaced: frozenset[str], restored: frozenset[str], side: Side
) -> None:
    disk = Disk(Intent(replaced, restored), [])
    assert disk.go(side)
    assert disk.go(side, 0)


def test_all_of_the_old_is_out_before_any_of_the_new_comes_in() -> None:
    disk = OnDisk(live=frozenset("ab"), new=frozenset("bc"), old=frozenset())
    step = next_step(Intent(frozenset("ab"), frozenset("bc")), disk, Side.NEW)
    assert step and step.moves == (Move("a", Place.LIVE, Place.OLD), Move("b", Place.LIVE, Place.OLD))


def test_a_late_entry_makes_way_only_where_the_swap_needs_its_name() -> None:
    disk = Disk(Intent(frozenset("ab"), frozenset("a")), [(3, "write", "a"), (3, "write", "b"), (3, "write", "c")])
    assert disk.go(Side.NEW)
    assert disk.live == {"a": "restored a", "b": "late b 3", "c": "late c 3"}
    assert disk.late == ["late a 3"]
