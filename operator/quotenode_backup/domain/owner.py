"""References to the custom resource that a lock, a Job, an Event or a pass belongs to."""

from dataclasses import dataclass
from typing import NamedTuple


class Key(NamedTuple):
    """The resource that a pass is about, by name. It need not exist any more."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Owner:
    """One resource, told apart by its UID from all others that ever had its name."""

    kind: str
    """Such as `QuoteNodeBackup`. It can be one that only a later release knows."""
    namespace: str
    name: str
    uid: str

    @property
    def key(self) -> Key:
        return Key(self.kind, self.namespace, self.name)
