"""The admission policy that checks whether the author of a resource may read what the resource names.

This module finds out whether that policy is in force, and since when.
"""

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
    """A policy that is in force: its binding has the action Deny."""

    policy: str
    """UID of the binding or of the policy, whichever is younger, so that it changes when either is created again.
    Nobody can know it in advance.
    """
    since: datetime


class AdmissionPolicy:
    def __init__(self, reader: Reader, name: str) -> None:
        """`name`: of the policy and its binding; empty when the chart installs none (admission.enabled=false)."""
        self._reader = reader
        self.name = name
        self.last_seen = ""
        """UID of the policy that the last call of `enforcement` found in force; empty when there was none."""

    async def enforcement(self) -> Enforcement | None:
        """None when the policy is not in force, or the operator may not read it.

        A policy that was changed in place counts as none, since it may have let something pass in between. The chart
        never changes one: other content gets another name.
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
