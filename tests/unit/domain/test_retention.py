"""Which bundles stay: enough good ones, every pinned one, and never fewer because of a clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.domain.retention import CLOCKS_APART, MARK_LENGTH, Choice, Kept, choose, is_among, mark

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
OWN = Kept("own", NOW, is_own=True)
MINUTES = st.integers(-500_000, 90)


@st.composite
def shelves(draw: st.DrawFn) -> tuple[list[Kept], set[str]]:
    """Bundles in any order, and the names of those that are good. The run's own always is, and may be pinned too."""
    ages = draw(st.lists(MINUTES, max_size=30))
    others = [
        Kept(f"bundle-{number}", NOW + timedelta(minutes=age), is_pinned=draw(st.booleans()))
        for number, age in enumerate(ages)
    ]
    own = Kept("own", NOW, is_own=True, is_pinned=draw(st.booleans()))
    bundles = draw(st.permutations([own, *others]))
    good = {bundle.name for bundle in others if draw(st.booleans())}
    return bundles, good | {"own"}


KEEP_LAST = st.integers(1, 12)


def chosen(bundles: list[Kept], good: set[str], keep_last: int) -> tuple[Choice, list[Kept]]:
    """And what stays."""
    choice = choose(bundles, keep_last, lambda kept: kept.name in good)
    return choice, [bundle for bundle in bundles if bundle not in choice.remove]


def countable(bundles: list[Kept], good: set[str]) -> list[Kept]:
    return [
        bundle
        for bundle in bundles
        if bundle.name in good and not bundle.is_pinned and bundle.completed <= NOW + CLOCKS_APART
    ]


@given(shelves(), KEEP_LAST)
def test_as_many_good_ones_stay_as_are_wanted_or_there(shelf: tuple[list[Kept], set[str]], keep_last: int) -> None:
    bundles, good = shelf
    _, staying = chosen(bundles, good, keep_last)
    assert len(countable(staying, good)) == min(keep_last, len(countable(bundles, good)))


def test_of_two_bundles_of_one_second_the_second_one_stays() -> None:
    names = ("quotenode-backup-20260301-020000.tar.gz", "quotenode-backup-20260301-020000-2.tar.gz")
    first, second = (Kept(name, NOW - timedelta(days=1)) for name in names)
    choice = choose([first, second, Kept("own", NOW, is_own=True)], 2, lambda _: True)
    assert choice.remove == (first,)


def test_dumps_alone_take_the_place_of_no_bundle_with_files() -> None:
    """Two schedules of one database in one folder: files each night, the database alone each hour."""
    uploads = frozenset({"uploads"})
    nightly = [Kept(f"night-{days}", NOW - timedelta(days=days), holds=uploads) for days in range(1, 5)]
    hourly = [Kept(f"hour-{hours}", NOW - timedelta(hours=hours), is_own=not hours) for hours in range(6)]
    choice = choose([*nightly, *hourly], 3, lambda _: True)
    assert [kept.name for kept in choice.remove] == ["night-4", "hour-5", "hour-4", "hour-3"]
    wider = Kept("own", NOW + timedelta(minutes=1), holds=uploads | {"pdfs"}, is_own=True)
    older = [replace(kept, is_own=False) for kept in [*nightly, *hourly]]
    assert "night-3" in [kept.name for kept in choose([wider, *older], 3, lambda _: True).remove]


@given(shelves(), KEEP_LAST)
def test_the_runs_own_and_the_pinned_always_stay(shelf: tuple[list[Kept], set[str]], keep_last: int) -> None:
    bundles, good = shelf
    _, staying = chosen(bundles, good, keep_last)
    assert {bundle for bundle in bundles if bundle.is_own or bundle.is_pinned} <= set(staying)


@given(shelves(), KEEP_LAST)
def test_what_goes_is_older_than_every_good_one_that_is_counted(
    shelf: tuple[list[Kept], set[str]], keep_last: int
) -> None:
    bundles, good = shelf
    choice, staying = chosen(bundles, good, keep_last)
    counted = [bundle.completed for bundle in countable(staying, good) if not bundle.is_own]
    assert not choice.remove or max(bundle.completed for bundle in choice.remove) <= min(
        counted, default=NOW + CLOCKS_APART
    )
    assert [bundle.completed for bundle in choice.remove] == sorted(bundle.completed for bundle in choice.remove)


@given(shelves(), KEEP_LAST)
def test_each_bundle_is_named_once_at_most_and_none_is_made_up(
    shelf: tuple[list[Kept], set[str]], keep_last: int
) -> None:
    bundles, good = shelf
    choice, _ = chosen(bundles, good, keep_last)
    named = [*choice.remove, *choice.bad, *choice.of_the_future]
    assert len(named) == len(set(named))
    assert set(named) <= set(bundles)
    assert not {bundle.name for bundle in choice.bad} & good


@given(shelves(), KEEP_LAST)
def test_no_more_bundles_are_read_than_decide(shelf: tuple[list[Kept], set[str]], keep_last: int) -> None:
    bundles, good = shelf
    asked: list[str] = []

    def is_good(kept: Kept) -> bool:
        asked.append(kept.name)
        return kept.name in good

    choice = choose(bundles, keep_last, is_good)
    assert len(asked) == len(set(asked))
    assert "own" not in asked
    assert not set(asked) & {bundle.name for bundle in choice.remove}


def test_the_runs_own_is_the_newest_whatever_the_clocks_say() -> None:
    """Within an hour clocks may differ; beyond that one was wrong."""
    near, far = Kept("near", NOW + CLOCKS_APART), Kept("far", NOW + CLOCKS_APART + timedelta(seconds=1))
    choice = choose([near, OWN, far], 1, lambda _: True)
    assert (choice.remove, choice.of_the_future) == ((near,), (far,))


@pytest.mark.parametrize("bundles", [[], [Kept("a", NOW)], [OWN, Kept("b", NOW, is_own=True)]])
def test_without_exactly_one_own_bundle_nothing_is_decided(bundles: list[Kept]) -> None:
    with pytest.raises(ValueError, match="the run's own"):
        choose(bundles, 1, lambda _: True)


@given(st.lists(st.uuids().map(str), unique=True, max_size=50), st.uuids().map(str))
def test_a_run_is_among_the_survivors_that_were_marked(runs: list[str], other: str) -> None:
    survivors = "".join(map(mark, runs))
    assert len(survivors) == MARK_LENGTH * len(runs)
    assert all(is_among(run, survivors) for run in runs)
    assert is_among(other, survivors) == (mark(other) in [mark(run) for run in runs])
