"""The admission policy that asks whether whoever writes a resource may himself read what it names: whether it is in force, and since when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from quotenode_backup.cluster.connection import Json
from quotenode_backup.cluster.errors import NotFound, Refused
from quotenode_backup.cluster.paths import admission


class Reader(Protocol):
    async def read(self, path: str) -> Json: ...


@dataclass(frozen=True, slots=True)
class Enforcement:
    """A policy whose binding denies."""

    policy: str
    """UID of the binding or the policy, whichever is younger: it is another one as soon as either is made anew. Nobody can know it before."""
    since: datetime


class AdmissionPolicy:
    def __init__(self, reader: Reader, name: str) -> None:
        """`name`: of the policy and of its binding; empty when the chart has none (admission.enabled=false)."""
        self._reader = reader
        self.name = name
        self.last_seen = ""
        """UID of the policy that was in force when it was last looked at."""

    async def enforcement(self) -> Enforcement | None:
        """None when it is not in force, or nobody may know.

        One that was changed is none: it may have let something pass meanwhile. The chart has another name for another content.
        """
        found = await self._found()
        self.last_seen = found.policy if found else ""
        return found

    async def _found(self) -> Enforcement | None:
        try:
            policy = await self._reader.read(admission("validatingadmissionpolicies", self.name))
            binding = await self._reader.read(admission("validatingadmissionpolicybindings", self.name))
        except (NotFound, Refused):
            return None
        spec, was_changed = binding["spec"], any(one["metadata"].get("generation", 1) != 1 for one in (policy, binding))
        if was_changed or spec["policyName"] != self.name or "Deny" not in spec.get("validationActions", ()):
            return None
        younger = max(binding["metadata"], policy["metadata"], key=_created)
        return Enforcement(younger["uid"], _created(younger))


def _created(meta: Json) -> datetime:
    return datetime.fromisoformat(meta["creationTimestamp"])
