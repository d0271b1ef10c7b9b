"""As whom a restore talks to the server."""

from dataclasses import dataclass

from quotenode_backup.runner.postgres.server import Server

ADMIN_FIELD = "spec.database.adminCredentialsSecretRef"


@dataclass(frozen=True, slots=True)
class Identities:
    """The code in a dump can take every privilege that the session has which loads it. So the owner loads, and the admin only creates the database and
    its extensions, copies properties, ends sessions and renames."""

    owner: Server
    admin: Server | None = None

    @property
    def privileged(self) -> Server:
        return self.admin or self.owner

    @property
    def remedy(self) -> str:
        """How to get privileges that the privileged role lacks."""
        if self.admin:
            return f"put a role that has it into Secret {self.admin.planned.credentials_secret} ({ADMIN_FIELD})"
        return f"set {ADMIN_FIELD} to a Secret with a role that has it"
