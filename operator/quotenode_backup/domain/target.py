"""The database that a run works on, as its namespace addresses it. Each target has its own lock and bundle folder."""

from dataclasses import dataclass

from quotenode_backup.domain.naming import digest


@dataclass(frozen=True, slots=True)
class Target:
    namespace: str
    host: str
    port: int
    database: str

    def __str__(self) -> str:
        """As it is shown to people."""
        return f"{self.database} at {self.host}:{self.port}"

    @property
    def lease_name(self) -> str:
        return f"qn-lock-{self._digest}"

    @property
    def bundle_folder(self) -> str:
        """The folder, below `storage.local.subPath`, with the bundles of this database alone."""
        return f"{self.namespace}-{self._digest}"

    def bundle_home(self, sub_path: str) -> str:
        """The path of `bundle_folder` inside the claim, with a slash at its end. `sub_path`: of `storage.local`."""
        return "".join(f"{part}/" for part in (sub_path, self.bundle_folder) if part)

    @property
    def _digest(self) -> str:
        return digest("postgresql", self.host, self.port, self.database, length=24)
