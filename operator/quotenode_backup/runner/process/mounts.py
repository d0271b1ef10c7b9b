"""Where the pod's volumes are. Tests put the same layout below a folder of their own."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from quotenode_backup import contract


@dataclass(frozen=True, slots=True)
class Places:
    plan: Path = Path(contract.PLAN_PATH)
    result: Path = Path(contract.RESULT_PATH)
    database_secret: Path = Path(contract.DATABASE_SECRET)
    ca_file: Path = Path(contract.CA_FILE)
    sources: Path = Path(contract.SOURCES)
    destination: Path = Path(contract.DESTINATION)
    private: Path = Path(contract.PRIVATE)
    clients: Path = Path("/usr/lib/postgresql")
    """Debian's layout: one folder per major version, programs in its `bin`."""

    @classmethod
    def below(cls, root: Path) -> Self:
        default = cls()
        return cls(**{f.name: root / getattr(default, f.name).relative_to("/") for f in fields(cls)})

    def source(self, index: int) -> Path:
        return self.sources / str(index)
