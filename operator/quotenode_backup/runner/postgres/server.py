"""A database server as one role reaches it, and whether it is known to be the right one."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from quotenode_backup.contract.plans import PlannedDatabase
from quotenode_backup.runner.postgres.credentials import Credentials, read_credentials, require_ca
from quotenode_backup.runner.process.display import Redactor, escape, sentence
from quotenode_backup.runner.process.mounts import Mounts

log = logging.getLogger(__name__)

_VERIFYING = {"verify-ca", "verify-full"}
MUTUAL, NOT_IN_CLEAR = "scram-sha-256", "!password"
"""Values of libpq's require_auth: the method by which the server proves itself too, and any method but the password in cleartext."""


class Proof:
    """Whether every session so far began with SCRAM, in which the server proves that it knows the role's password."""

    def __init__(self) -> None:
        self.is_given = True


@dataclass(frozen=True, slots=True)
class Server:
    """A database server as one role reaches it."""

    planned: PlannedDatabase
    credentials: Credentials
    ca_file: Path | None
    redact: Redactor
    proof: Proof = field(default_factory=Proof, compare=False)

    @property
    def is_verified(self) -> bool:
        """Whether its certificate is verified."""
        return self.planned.ssl_mode in _VERIFYING

    @property
    def require_auth(self) -> str | None:
        """By which method the server may ask for the password. None: by any."""
        if self.is_verified:
            return None
        return MUTUAL if self.proof.is_given else NOT_IN_CLEAR

    def quote(self, message: str, limit: int) -> str:
        """A message of the server, for people. One that has not proven itself is not quoted: in a status its message could be anybody's advice."""
        unproven = "its message is only in the log of the pod, since nothing proves that it is the right server"
        return self._quoted(message, limit, unproven)

    def quote_name(self, name: str, limit: int) -> str:
        """The name of something in the database. It may contain a secret, or advice, as any message may."""
        return self._quoted(name, limit, "(its name is only in the log of the pod)")

    def _quoted(self, text: str, limit: int, unproven: str) -> str:
        if self.is_verified or self.proof.is_given:
            return sentence(self.redact(text), limit)
        log.warning("%s sent this text: %s", self.address, sentence(self.redact(text), 1000))
        return unproven

    @property
    def address(self) -> str:
        return f"{escape(self.planned.host)}:{self.planned.port}"

    @property
    def role(self) -> str:
        return escape(self.credentials.username)


def server_of(database: PlannedDatabase, mounts: Mounts, redact: Redactor) -> Server:
    credentials = read_credentials(mounts, database)
    redact.learn(credentials.password)
    return Server(database, credentials, require_ca(mounts, database), redact)
