"""Which bundles stay, and how the runs of those that stay are listed."""

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from statistics import median

from quotenode_backup.domain.bundle import SUFFIX

FINGERPRINT_LENGTH = 6
"""Characters. 400 fingerprints fit into a result, and two runs have the same one once in 10^8 comparisons."""
PIN_SUFFIX = ".keep"
"""A bundle with a file of this suffix beside it is never removed."""
RESTORE_PIN = ".keep-"
"""A bundle with a file of this suffix and the UID of a restore is not removed before the time in that file."""
CLOCK_SKEW = timedelta(hours=1)
"""How much later than the bundle that was made just now another bundle may claim to have been made."""
SHRUNKEN = 10
"""A bundle stays for its size when its dump or its files are more than this many times as large as those of the newer bundles."""


def fingerprint(run_uid: str) -> str:
    """A short digest that stands for a run in a list of survivors."""
    return base64.urlsafe_b64encode(hashlib.sha256(run_uid.encode()).digest())[:FINGERPRINT_LENGTH].decode()


def is_among(run_uid: str, survivors: str) -> bool:
    """`survivors`: the fingerprints of runs, joined."""
    starts = range(0, len(survivors), FINGERPRINT_LENGTH)
    return fingerprint(run_uid) in {survivors[start : start + FINGERPRINT_LENGTH] for start in starts}


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """A committed bundle, as far as its commit record and the names beside it tell."""

    name: str
    completed: datetime
    holds: frozenset[str] = frozenset()
    """The names of the volumes in the bundle, beside the database."""
    is_own: bool = False
    """Whether the bundle was made by the run that asks, and has just been read back."""
    is_pinned: bool = False
    dump: int = 0
    """The size of the dump in bytes, as the commit record says. Whether that is true, `is_good` finds out."""
    files: int = 0
    """The size of the files in bytes, likewise."""


@dataclass(frozen=True, slots=True)
class Choice:
    remove: tuple[BundleEntry, ...] = ()
    """The oldest first, so that a runner that dies in between has removed what matters least."""
    bad: tuple[BundleEntry, ...] = ()
    """Bundles that are new enough to count, and are not good: an older bundle stays in place of each."""
    of_the_future: tuple[BundleEntry, ...] = ()
    large: tuple[BundleEntry, ...] = ()
    """Bundles that are old enough to go, and stay because the newer ones are so much smaller that something may be missing in them."""


def choose(bundles: Iterable[BundleEntry], keep_last: int, is_good: Callable[[BundleEntry], bool]) -> Choice:
    """`is_good` is asked of the newest bundle first, and then of older ones until enough good ones are found.

    A bundle goes when `keep_last` newer good bundles hold all that it holds. Dumps of the database alone, however many, never replace a bundle
    with files.

    A good bundle that is far larger than those newer ones stays all the same: a database that was emptied by mistake must not push the real
    bundles out. Dump and files are compared each alone, since large files would hide an empty database, and the other way round.

    A bundle that claims to be of the future was made under a wrong clock. It is not counted, since it would take the place of a newer bundle until
    the clock gets there. It is not removed either, since it may be good.
    """
    own, *others = _newest_first(bundles)
    good: list[BundleEntry] = []
    remove: list[BundleEntry] = []
    bad: list[BundleEntry] = []
    future: list[BundleEntry] = []
    large: list[BundleEntry] = []
    for bundle in (own, *others):
        if bundle.is_pinned:
            continue
        substitutes = [newer for newer in good if newer.holds >= bundle.holds]
        if bundle.completed > own.completed + CLOCK_SKEW:
            future.append(bundle)
        elif len(substitutes) < keep_last:
            (good if bundle.is_own or is_good(bundle) else bad).append(bundle)
        elif _is_far_larger(bundle, substitutes, keep_last) and is_good(bundle):
            large.append(bundle)
            good.append(bundle)
        else:
            remove.append(bundle)
    return Choice(tuple(reversed(remove)), tuple(bad), tuple(future), tuple(large))


def _is_far_larger(bundle: BundleEntry, substitutes: list[BundleEntry], keep_last: int) -> bool:
    """Whether the dump or the files are, each compared with the same part of the newer bundles.

    The answer is no once `keep_last` of the newer bundles are as large in that part: two schedules in one folder, of which one makes large
    bundles and the other small ones, must not fill the disk.
    """
    return any(
        size(bundle) > SHRUNKEN * median(map(size, substitutes))
        and sum(size(bundle) <= SHRUNKEN * size(newer) for newer in substitutes) < keep_last
        for size in _PARTS
    )


def _newest_first(bundles: Iterable[BundleEntry]) -> list[BundleEntry]:
    """The run's own bundle is the newest, whatever the clocks say. There must be exactly one.

    Of two bundles of the same second the one with a number in its name is the newer.
    """

    def age(bundle: BundleEntry) -> tuple[bool, datetime, str]:
        return bundle.is_own, bundle.completed, bundle.name.removesuffix(SUFFIX)

    found = sorted(bundles, key=age, reverse=True)
    if [bundle.is_own for bundle in found[:2]] not in ([True], [True, False]):
        raise ValueError("exactly one bundle is the run's own")
    return found


_PARTS: tuple[Callable[[BundleEntry], int], ...] = (attrgetter("dump"), attrgetter("files"))
