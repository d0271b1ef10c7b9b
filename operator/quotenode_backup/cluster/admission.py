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
    """UID of the binding. Nobody can know it before the binding is there."""
    since: datetime


class AdmissionPolicy:
    def __init__(self, reader: Reader, name: str) -> None:
        """`name`: of the policy and of its binding; empty when the chart has none (admission.enabled=false)."""
        self._reader = reader
        self.name = name

    async def enforcement(self) -> Enforcement | None:
        """None when it is not in force, or nobody may know."""
        try:
            policy = await self._reader.read(admission("validatingadmissionpolicies", self.name))
            binding = await self._reader.read(admission("validatingadmissionpolicybindings", self.name))
        except (NotFound, Refused):
            return None
        spec = binding["spec"]
        if spec["policyName"] != self.name or "Deny" not in spec.get("validationActions", ()):
            return None
        created = [datetime.fromisoformat(one["metadata"]["creationTimestamp"]) for one in (policy, binding)]
        return Enforcement(binding["metadata"]["uid"], max(created))
