"""Whether the volume of a database server has room for a second copy of a database.

A load onto a volume without room takes the live database down: what was loaded keeps the disk full, the next WAL segment cannot be written, and the
server does not come up again. So what is needed is estimated before, a reserve stays free, and what grows is measured during the load.
"""

from dataclasses import dataclass

from quotenode_backup.domain.text import readable_size


@dataclass(frozen=True, slots=True)
class Load:
    """What is going to be loaded."""

    database_bytes: int
    """The size of the database when it was backed up."""
    largest_index_bytes: int = 0
    """Sorted in temporary files while it is built."""


@dataclass(frozen=True, slots=True)
class Wal:
    """How much WAL the server keeps."""

    max_wal_bytes: int
    """`max_wal_size`."""
    is_kept: bool = False
    """Whether the server removes no WAL now, since its archiver fails or a replication slot lags."""

    def during(self, load: Load) -> int:
        """The most that the WAL grows by during a load, which writes nine tenths of the data into it."""
        written = load.database_bytes * 9 // 10
        return written if self.is_kept else min(written, self.max_wal_bytes)


@dataclass(frozen=True, slots=True)
class Volume:
    free_bytes: int
    size_bytes: int | None = None
    """None if only the free space is known, from the resource."""


@dataclass(frozen=True, slots=True)
class Room:
    needed_bytes: int
    reserve_bytes: int
    free_bytes: int

    @property
    def budget_bytes(self) -> int:
        """What the load may use."""
        return max(0, self.free_bytes - self.reserve_bytes)

    @property
    def suffices(self) -> bool:
        return self.needed_bytes <= self.budget_bytes

    @property
    def lack(self) -> str:
        """What is lacking, as a sentence; empty if nothing is."""
        if self.suffices:
            return ""
        missing = self.needed_bytes + self.reserve_bytes - self.free_bytes
        return (
            f"The restore loads a second copy beside the live database, which needs {readable_size(self.needed_bytes)} and must leave "
            f"{readable_size(self.reserve_bytes)} free, and the server's volume has {readable_size(self.free_bytes)}: enlarge the "
            f"volume by at least {readable_size(missing)}, or remove databases that earlier restores kept."
        )


def room(load: Load, wal: Wal, volume: Volume) -> Room:
    needed = load.database_bytes * 11 // 10 + wal.during(load) + load.largest_index_bytes
    tenth = (volume.free_bytes if volume.size_bytes is None else volume.size_bytes) // 10
    return Room(needed, max(tenth, 2 * wal.max_wal_bytes), volume.free_bytes)
