"""The database that is worked on, as far as one namespace can know it: what a lock is for, and what a folder of bundles is of."""

from dataclasses import dataclass

from quotenode_backup.domain.naming import digest


@dataclass(frozen=True, slots=True)
class Target:
    namespace: str
    host: str
    port: int
    database: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.database} at {self.host}:{self.port}"

    @property
    def lease_name(self) -> str:
        return f"qn-lock-{self._digest}"

    @property
    def bundle_folder(self) -> str:
        """The folder, below `storage.local.subPath`, that holds the bundles of this database and no other's."""
        return f"{self.namespace}-{self._digest}"

    def bundle_home(self, sub_path: str) -> str:
        """That folder inside the claim, with a slash at its end. `sub_path`: of `storage.local`."""
        return "".join(f"{part}/" for part in (sub_path, self.bundle_folder) if part)

    @property
    def _digest(self) -> str:
        return digest("postgresql", self.host, self.port, self.database, length=24)
