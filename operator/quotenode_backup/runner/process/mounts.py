"""Where the volumes of the pod are mounted. Tests create the same layout below a folder of their own."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from quotenode_backup.contract import paths


@dataclass(frozen=True, slots=True)
class Mounts:
    plan: Path = Path(paths.PLAN)
    result: Path = Path(paths.RESULT)
    database_secret: Path = Path(paths.DATABASE_SECRET)
    admin_secret: Path = Path(paths.ADMIN_SECRET)
    ca_file: Path = Path(paths.CA_FILE)
    sources: Path = Path(paths.SOURCES)
    destination: Path = Path(paths.DESTINATION)
    server_volume: Path = Path(paths.SERVER_VOLUME)
    private: Path = Path(paths.PRIVATE)
    clients: Path = Path("/usr/lib/postgresql")
    """Not a mount, but Debian's folder of client programs: it has one folder per major version, with the programs in its `bin`."""

    @classmethod
    def below(cls, root: Path) -> Self:
        default = cls()
        return cls(**{f.name: root / getattr(default, f.name).relative_to("/") for f in fields(cls)})

    def source(self, index: int) -> Path:
        return self.sources / str(index)
