"""Which bundles stay."""

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from statistics import median

from quotenode_backup.domain.bundle import SUFFIX

MARK_LENGTH = 6
"""Characters. 400 marks fit into a result, and two runs share one once in 10^8 comparisons."""
PIN_SUFFIX = ".keep"
"""A bundle with this beside it is never removed."""
REMOVED_PREFIX = ".pruned-"
"""What a commit record is called from the moment its bundle is to go until all of it is gone."""
CLOCKS_APART = timedelta(hours=1)
"""How much later than the bundle that was made just now another may say it was made."""
SHRUNKEN = 10
"""A bundle is kept for its size when its dump or its files are more than so many times as large as those of the newer ones."""


def mark(run_uid: str) -> str:
    """A run in a list of survivors."""
    return base64.urlsafe_b64encode(hashlib.sha256(run_uid.encode()).digest())[:MARK_LENGTH].decode()


def is_among(run_uid: str, survivors: str) -> bool:
    """`survivors`: marks, joined."""
    marks = {survivors[start : start + MARK_LENGTH] for start in range(0, len(survivors), MARK_LENGTH)}
    return mark(run_uid) in marks


@dataclass(frozen=True, slots=True)
class Kept:
    """A committed bundle, as far as its commit record and the names beside it tell."""

    name: str
    completed: datetime
    holds: frozenset[str] = frozenset()
    """The names of the volumes in it, beside the database."""
    is_own: bool = False
    """Made by the run that asks, and just read back."""
    is_pinned: bool = False
    dump: int = 0
    """Bytes, as its commit record says. Whether that is true is part of being good."""
    files: int = 0
    """Likewise."""


@dataclass(frozen=True, slots=True)
class Choice:
    remove: tuple[Kept, ...] = ()
    """The oldest first: whoever dies in between has removed what matters least."""
    bad: tuple[Kept, ...] = ()
    """Among the newest, but not what they should be: an older one stays in the stead of each."""
    of_the_future: tuple[Kept, ...] = ()
    large: tuple[Kept, ...] = ()
    """Old enough to go, and kept since the newer ones are so much smaller that something may be missing in them."""


def choose(bundles: Iterable[Kept], keep_last: int, is_good: Callable[[Kept], bool]) -> Choice:
    """`is_good` is asked, newest first, until enough good ones are found.

    A bundle goes when `keep_last` good ones that are newer hold all that it holds: dumps of the database alone, however many, take the
    place of no bundle with files.

    A good one that is far larger than those stays even so: a database that was emptied by mistake must not push the real bundles out.
    Dump and files are compared each alone, since large files would hide an empty database, and the other way round.

    A bundle that claims to be of the future was made under a wrong clock. It is neither counted, since it would take the
    place of a newer one for as long as it takes the clock to get there, nor removed, since it may be good.
    """
    own, *others = _newest_first(bundles)
    good: list[Kept] = []
    remove: list[Kept] = []
    bad: list[Kept] = []
    future: list[Kept] = []
    large: list[Kept] = []
    for bundle in (own, *others):
        if bundle.is_pinned:
            continue
        stand_ins = [newer for newer in good if newer.holds >= bundle.holds]
        if bundle.completed > own.completed + CLOCKS_APART:
            future.append(bundle)
        elif len(stand_ins) < keep_last:
            (good if bundle.is_own or is_good(bundle) else bad).append(bundle)
        elif _is_far_larger(bundle, stand_ins, keep_last) and is_good(bundle):
            large.append(bundle)
            good.append(bundle)
        else:
            remove.append(bundle)
    return Choice(tuple(reversed(remove)), tuple(bad), tuple(future), tuple(large))


def _is_far_larger(bundle: Kept, stand_ins: list[Kept], keep_last: int) -> bool:
    """In dump or files, each compared with the same part of the newer ones.

    Not once `keep_last` of those are large too in the same part: two schedules in one folder, of which one makes large
    bundles and one makes small ones, must not fill the disk.
    """
    return any(
        size(bundle) > SHRUNKEN * median(map(size, stand_ins))
        and sum(size(bundle) <= SHRUNKEN * size(newer) for newer in stand_ins) < keep_last
        for size in _PARTS
    )


def _newest_first(bundles: Iterable[Kept]) -> list[Kept]:
    """The run's own is the newest, whatever the clocks say. Exactly one must be.

    Of those of one second the second one has a number, and is the newer.
    """

    def age(bundle: Kept) -> tuple[bool, datetime, str]:
        return bundle.is_own, bundle.completed, bundle.name.removesuffix(SUFFIX)

    found = sorted(bundles, key=age, reverse=True)
    if [bundle.is_own for bundle in found[:2]] not in ([True], [True, False]):
        raise ValueError("exactly one bundle is the run's own")
    return found


_PARTS: tuple[Callable[[Kept], int], ...] = (attrgetter("dump"), attrgetter("files"))
