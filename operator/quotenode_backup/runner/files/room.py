"""Whether what is restored has room beside what it replaces, which stays until the swap and for some time after it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.files.archive_check import Tally

_BLOCK = 4096
"""A file takes half a block more than its size on average, and a whole one at most. A folder takes one."""
_RESERVE_SHARE = 20
_LARGEST_RESERVE = 1 << 30
_RESERVED_INODES = 1000


@dataclass(frozen=True, slots=True)
class Need:
    claim: str
    live: int
    """A descriptor of the folder that is restored."""
    tally: Tally


def require_room(needs: Iterable[Need]) -> None:
    """Folders on one file system need room together. For what the application writes meanwhile a twentieth of the volume stays free, up to 1 GiB."""
    by_device: dict[int, list[Need]] = {}
    for need in needs:
        by_device.setdefault(os.fstat(need.live).st_dev, []).append(need)
    for together in by_device.values():
        _require_together(together)


def _require_together(needs: list[Need]) -> None:
    total = sum((need.tally for need in needs), Tally())
    volume = os.fstatvfs(needs[0].live)
    claims = " and ".join(sorted({need.claim for need in needs}))
    _require_bytes(claims, total, volume)
    inodes = total.files + total.folders + total.links + _RESERVED_INODES
    if volume.f_files and volume.f_favail < inodes:  # 0: it has no fixed number of them
        raise RunFailed(
            Reason.NO_SPACE,
            f"Claim {claims} has {volume.f_favail} inodes free, and restoring beside the live files takes {inodes}: enlarge the claim. Nothing was "
            "changed.",
        )


def _require_bytes(claims: str, total: Tally, volume: os.statvfs_result) -> None:
    reserve = min(volume.f_blocks * volume.f_frsize // _RESERVE_SHARE, _LARGEST_RESERVE)
    needed = bytes_on_disk(total) + reserve
    free = volume.f_bavail * volume.f_frsize
    if free < needed:
        raise RunFailed(
            Reason.NO_SPACE,
            f"Claim {claims} has {readable_size(free)} free, and restoring beside the live files takes {readable_size(needed)}, of which "
            f"{readable_size(reserve)} are for what the application writes meanwhile: enlarge the claim by {readable_size(needed - free)}. Nothing "
            "was changed.",
        )


def bytes_on_disk(tally: Tally) -> int:
    return tally.bytes + _BLOCK * (tally.files + tally.folders)
