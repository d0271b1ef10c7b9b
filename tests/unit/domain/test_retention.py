"""Which bundles stay: enough good ones, every pinned one, and never fewer because of a clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.domain.retention import (
    CLOCK_SKEW,
    FINGERPRINT_LENGTH,
    SHRUNKEN,
    BundleEntry,
    Choice,
    choose,
    fingerprint,
    is_among,
)

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
OWN = BundleEntry("own", NOW, is_own=True)
MINUTES = st.integers(-500_000, 90)


@st.composite
def folders(draw: st.DrawFn) -> tuple[list[BundleEntry], set[str]]:
    """Bundles in any order, and the names of those that are good. The run's own always is, and may be pinned too."""
    ages = draw(st.lists(MINUTES, max_size=30))
    others = [
        BundleEntry(f"bundle-{number}", NOW + timedelta(minutes=age), is_pinned=draw(st.booleans()))
        for number, age in enumerate(ages)
    ]
    own = BundleEntry("own", NOW, is_own=True, is_pinned=draw(st.booleans()))
    bundles = draw(st.permutations([own, *others]))
    good = {bundle.name for bundle in others if draw(st.booleans())}
    return bundles, good | {"own"}


@st.composite
def sized_folders(draw: st.DrawFn) -> tuple[list[BundleEntry], set[str]]:
    """Bundles as above, with dumps and files from nothing to a thousand times the usual."""
    bundles, good = draw(folders())
    sizes = st.sampled_from([0, 1, 10, 11, 100, 101, 1000])
    return [replace(bundle, dump=draw(sizes), files=draw(sizes)) for bundle in bundles], good


KEEP_LAST = st.integers(1, 12)


def chosen(bundles: list[BundleEntry], good: set[str], keep_last: int) -> tuple[Choice, list[BundleEntry]]:
    """And what stays."""
    choice = choose(bundles, keep_last, lambda entry: entry.name in good)
    return choice, [bundle for bundle in bundles if bundle not in choice.remove]


def countable(bundles: list[BundleEntry], good: set[str]) -> list[BundleEntry]:
    return [
        bundle
        for bundle in bundles
        if bundle.name in good and not bundle.is_pinned and bundle.completed <= NOW + CLOCK_SKEW
    ]


@given(folders(), KEEP_LAST)
def test_as_many_good_bundles_stay_as_are_wanted_or_exist(
    folder: tuple[list[BundleEntry], set[str]], keep_last: int
) -> None:
    bundles, good = folder
    _, staying = chosen(bundles, good, keep_last)
    assert len(countable(staying, good)) == min(keep_last, len(countable(bundles, good)))


def test_of_two_bundles_of_one_second_the_second_one_stays() -> None:
    names = ("quotenode-backup-20260301-020000.tar.gz", "quotenode-backup-20260301-020000-2.tar.gz")
    first, second = (BundleEntry(name, NOW - timedelta(days=1)) for name in names)
    choice = choose([first, second, BundleEntry("own", NOW, is_own=True)], 2, lambda _: True)
    assert choice.remove == (first,)


def test_dumps_alone_take_the_place_of_no_bundle_with_files() -> None:
    """Two schedules of one database in one folder: files each night, the database alone each hour."""
    uploads = frozenset({"uploads"})
    nightly = [BundleEntry(f"night-{days}", NOW - timedelta(days=days), holds=uploads) for days in range(1, 5)]
    hourly = [BundleEntry(f"hour-{hours}", NOW - timedelta(hours=hours), is_own=not hours) for hours in range(6)]
    choice = choose([*nightly, *hourly], 3, lambda _: True)
    assert [entry.name for entry in choice.remove] == ["night-4", "hour-5", "hour-4", "hour-3"]
    wider = BundleEntry("own", NOW + timedelta(minutes=1), holds=uploads | {"pdfs"}, is_own=True)
    older = [replace(entry, is_own=False) for entry in [*nightly, *hourly]]
    assert "night-3" in [entry.name for entry in choose([wider, *older], 3, lambda _: True).remove]


def days(name: str, dumps: list[int], since: int = 0, files: int = 0) -> list[BundleEntry]:
    """One a day, the newest first."""
    return [
        BundleEntry(f"{name}-{day}", NOW - timedelta(days=since + day), dump=dump, files=files)
        for day, dump in enumerate(dumps, 1)
    ]


def test_seven_small_bundles_do_not_push_out_seven_large_ones() -> None:
    """A database that was emptied by mistake, or forged bundles."""
    own = replace(OWN, dump=20)
    small, large = days("small", [20] * 7), days("large", [1000] * 7, since=7)
    choice = choose([own, *small, *large], 7, lambda _: True)
    assert choice.remove == (small[-1],)
    assert choice.large == tuple(large)


KB, GB = 10**3, 10**9


@pytest.mark.parametrize(
    ("before", "after"),
    [((GB, 8 * GB), (20 * KB, 8 * GB)), ((8 * GB, GB), (8 * GB, 20 * KB))],
    ids=["an emptied database beside large files", "emptied volumes beside a large database"],
)
def test_an_emptied_part_does_not_hide_behind_one_that_is_still_large(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    own = replace(OWN, dump=after[0], files=after[1])
    hollow = days("hollow", [after[0]] * 7, files=after[1])
    whole = days("whole", [before[0]] * 7, since=7, files=before[1])
    choice = choose([own, *hollow, *whole], 7, lambda _: True)
    assert choice.large == tuple(whole)
    assert choice.remove == (hollow[-1],)


def test_no_more_bundles_stay_for_their_size_than_are_wanted() -> None:
    """Two schedules in one folder, one of them with compression and one without, must not fill the disk."""
    own = replace(OWN, dump=20)
    mixed = days("mixed", [20, 20, 1000] * 10)
    choice = choose([own, *mixed], 5, lambda _: True)
    assert len(choice.large) <= 5
    assert len(mixed) - len(choice.remove) <= 10


def test_no_more_bundles_stay_for_their_dumps_than_are_wanted_and_as_many_for_their_files() -> None:
    """Large dumps and large files by turns: neither kind must bring back the other one's turn."""
    own = replace(OWN, dump=20, files=20)
    large_dumps, large_files = days("dump", [1000] * 30, files=20), days("files", [20] * 30, files=1000)
    choice = choose([own, *large_dumps, *large_files], 5, lambda _: True)
    assert sum(entry.dump == 1000 for entry in choice.large) <= 5
    assert sum(entry.files == 1000 for entry in choice.large) <= 5


def test_a_bundle_of_ten_times_the_size_goes_as_usual() -> None:
    own, (newer,) = replace(OWN, dump=100, files=7), days("newer", [100], files=7)
    (older,) = days("older", [1000], since=1, files=70)
    assert choose([own, newer, older], 2, lambda _: True).remove == (older,)
    for larger in (replace(older, dump=1001), replace(older, files=71)):
        assert choose([own, newer, larger], 2, lambda _: True).large == (larger,)


def test_a_large_bundle_that_is_not_good_goes_as_usual() -> None:
    own, newer, older = replace(OWN, dump=1), *days("bundle", [1, 1000])
    choice = choose([own, newer, older], 2, lambda entry: entry is newer)
    assert (choice.remove, choice.large, choice.bad) == ((older,), (), ())


@given(sized_folders(), KEEP_LAST)
def test_no_good_bundle_goes_that_is_far_larger_than_the_newer_ones_that_stay(
    folder: tuple[list[BundleEntry], set[str]], keep_last: int
) -> None:
    bundles, good = folder
    choice, staying = chosen(bundles, good, keep_last)
    counted = countable(staying, good)
    assert set(choice.large) <= set(counted)
    for bundle in choice.remove:
        if bundle.name in good:
            assert bundle.dump <= SHRUNKEN * max(entry.dump for entry in counted)
            assert bundle.files <= SHRUNKEN * max(entry.files for entry in counted)


@given(sized_folders(), KEEP_LAST)
def test_no_more_bundles_of_one_order_of_size_stay_for_a_part_than_are_wanted(
    folder: tuple[list[BundleEntry], set[str]], keep_last: int
) -> None:
    bundles, good = folder
    choice, staying = chosen(bundles, good, keep_last)
    counted = countable(staying, good)
    for large in choice.large:
        newer = [entry for entry in counted if entry.is_own or entry.completed > large.completed]
        assert any(
            sum(size(large) <= SHRUNKEN * size(entry) for entry in newer) < keep_last for size in (dump_of, files_of)
        )


def dump_of(entry: BundleEntry) -> int:
    return entry.dump


def files_of(entry: BundleEntry) -> int:
    return entry.files


@given(sized_folders(), KEEP_LAST)
def test_sizes_remove_no_bundle_that_would_stay_without_them(
    folder: tuple[list[BundleEntry], set[str]], keep_last: int
) -> None:
    bundles, good = folder
    choice, _ = chosen(bundles, good, keep_last)
    unsized, _ = chosen([replace(bundle, dump=0, files=0) for bundle in bundles], good, keep_last)
    names = {bundle.name for bundle in unsized.remove}
    assert {bundle.name for bundle in choice.remove} == names - {bundle.name for bundle in choice.large}


@given(folders(), KEEP_LAST)
def test_the_runs_own_and_the_pinned_always_stay(folder: tuple[list[BundleEntry], set[str]], keep_last: int) -> None:
    bundles, good = folder
    _, staying = chosen(bundles, good, keep_last)
    assert {bundle for bundle in bundles if bundle.is_own or bundle.is_pinned} <= set(staying)


@given(folders(), KEEP_LAST)
def test_what_goes_is_older_than_every_good_one_that_is_counted(
    folder: tuple[list[BundleEntry], set[str]], keep_last: int
) -> None:
    bundles, good = folder
    choice, staying = chosen(bundles, good, keep_last)
    counted = [bundle.completed for bundle in countable(staying, good) if not bundle.is_own]
    assert not choice.remove or max(bundle.completed for bundle in choice.remove) <= min(
        counted, default=NOW + CLOCK_SKEW
    )
    assert [bundle.completed for bundle in choice.remove] == sorted(bundle.completed for bundle in choice.remove)


@given(folders(), KEEP_LAST)
def test_each_bundle_is_named_once_at_most_and_none_is_made_up(
    folder: tuple[list[BundleEntry], set[str]], keep_last: int
) -> None:
    bundles, good = folder
    choice, _ = chosen(bundles, good, keep_last)
    named = [*choice.remove, *choice.bad, *choice.of_the_future]
    assert len(named) == len(set(named))
    assert set(named) <= set(bundles)
    assert not {bundle.name for bundle in choice.bad} & good


@given(folders(), KEEP_LAST)
def test_no_more_bundles_are_read_than_matter(folder: tuple[list[BundleEntry], set[str]], keep_last: int) -> None:
    bundles, good = folder
    asked: list[str] = []

    def is_good(entry: BundleEntry) -> bool:
        asked.append(entry.name)
        return entry.name in good

    choice = choose(bundles, keep_last, is_good)
    assert len(asked) == len(set(asked))
    assert "own" not in asked
    assert not set(asked) & {bundle.name for bundle in choice.remove}


def test_the_runs_own_is_the_newest_whatever_the_clocks_say() -> None:
    """Within an hour clocks may differ; beyond that one was wrong."""
    near, far = BundleEntry("near", NOW + CLOCK_SKEW), BundleEntry("far", NOW + CLOCK_SKEW + timedelta(seconds=1))
    choice = choose([near, OWN, far], 1, lambda _: True)
    assert (choice.remove, choice.of_the_future) == ((near,), (far,))


@pytest.mark.parametrize("bundles", [[], [BundleEntry("a", NOW)], [OWN, BundleEntry("b", NOW, is_own=True)]])
def test_without_exactly_one_own_bundle_nothing_is_decided(bundles: list[BundleEntry]) -> None:
    with pytest.raises(ValueError, match="the run's own"):
        choose(bundles, 1, lambda _: True)


@given(st.lists(st.uuids().map(str), unique=True, max_size=50), st.uuids().map(str))
def test_a_run_is_among_the_survivors_whose_fingerprints_were_joined(runs: list[str], other: str) -> None:
    survivors = "".join(map(fingerprint, runs))
    assert len(survivors) == FINGERPRINT_LENGTH * len(runs)
    assert all(is_among(run, survivors) for run in runs)
    assert is_among(other, survivors) == (fingerprint(other) in [fingerprint(run) for run in runs])
