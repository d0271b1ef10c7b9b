"""Which custom resource something belongs to: the lock of a database, a Job, an Event, a pass."""

from dataclasses import dataclass
from typing import NamedTuple


class Key(NamedTuple):
    """What one pass is over. The resource need not exist any more."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Owner:
    """One resource, and no other that was ever made under the same name."""

    kind: str
    """Such as `QuoteNodeBackup`. A kind that this release does not know is of a later one."""
    namespace: str
    name: str
    uid: str

    @property
    def key(self) -> Key:
        return Key(self.kind, self.namespace, self.name)
