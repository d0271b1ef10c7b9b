"""A database server as one role reaches it, and how far it is known to be the right one."""

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
"""Values of libpq's require_auth."""


class Proof:
    """Whether each session so far began with SCRAM, in which the server shows that it knows the role's password."""

    def __init__(self) -> None:
        self.is_given = True


@dataclass(frozen=True, slots=True)
class Server:
    """A database server as one role reaches it."""

    planned: PlannedDatabase
    credentials: Credentials
    ca_file: Path | None = None
    redact: Redactor = field(default_factory=Redactor)
    proof: Proof = field(default_factory=Proof, compare=False)

    @property
    def is_verified(self) -> bool:
        """By its certificate."""
        return self.planned.ssl_mode in _VERIFYING

    @property
    def require_auth(self) -> str | None:
        """How it may ask for the password; None for any way."""
        if self.is_verified:
            return None
        return MUTUAL if self.proof.is_given else NOT_IN_CLEAR

    def words(self, said: str, limit: int) -> str:
        """What it said, for people, if it is known to be who it should be. Anybody's words in a status could be anybody's advice."""
        if self.is_verified or self.proof.is_given:
            return sentence(self.redact(said), limit)
        log.warning("%s said: %s", self.address, sentence(self.redact(said), 1000))
        return "its words are in the log of the pod only, since nothing proves that it is the server"

    def named(self, name: str, limit: int) -> str:
        """The name of something in it, which might well be a word that is secret here, or advice to whoever reads it."""
        return escape(self.words(name, limit), limit)

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
