"""Whether the admission policy has checked the author of a resource: it checks only what is written while in force."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api import backup, restore
from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.cluster.admission import AdmissionPolicy, Enforcement
from quotenode_backup.cluster.objects import Resource, Run
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.labels import APPROVED

TAKES_EFFECT = timedelta(seconds=5)
"""How long the API servers may take to enforce a new policy. They look for new policies every second."""

_SHORT_NAMES = {backup.KIND: backup.SHORT_NAME, restore.KIND: restore.SHORT_NAME}


@dataclass(frozen=True, slots=True)
class Admitted:
    policy: str
    """UID of the policy that checked the resource; empty when the release has no policy."""


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    reason: Reason
    message: str
    may_pass: bool


def takes_effect_in(found: Enforcement | None, now: datetime) -> timedelta:
    """How long a new policy may still let something pass; at most TAKES_EFFECT, however far the clocks are apart."""
    if found is None:
        return timedelta(0)
    return min(max(found.since + TAKES_EFFECT - now, timedelta(0)), TAKES_EFFECT)


class Admission:
    def __init__(self, policy: AdmissionPolicy | None) -> None:
        """None: the release has no policy."""
        self._policy = policy if policy and policy.name else None

    async def judge(self, resource: Resource) -> Admitted | NotAdmitted:
        known = judged_before(resource)
        if self._policy is None or (known and known == self._policy.last_seen):
            return Admitted(known)
        found = await self._policy.enforcement()
        if known:
            return Admitted(found.policy if found else known)
        return judgement(resource, found, self._policy.name)


def judged_before(resource: Resource) -> str:
    """UID of the policy under which this generation, or the schedule that a run was copied from, was accepted; empty:
    none.

    What an earlier policy checked stays checked after a new installation or a change of policy. Such a schedule then
    gets the new policy's UID, so that later edits of it count as checked by the new policy.
    """
    if isinstance(resource, Run):
        return resource.status.admission_policy or ""
    accepted = resource.status.condition(ConditionType.ACCEPTED)
    is_this = accepted is not None and accepted.status == "True" and accepted.observed_generation == resource.generation
    return resource.status.admission_policy or "" if is_this else ""


def judgement(resource: Resource, found: Enforcement | None, name: str) -> Admitted | NotAdmitted:
    if found is None:
        return NotAdmitted(
            Reason.POLICY_NOT_ENFORCED,
            f"The admission policy {name} is not in force, so nothing has checked whether the author may read what this"
            " resource names: run helm upgrade. If the policy was changed in place, delete it and its binding first",
            may_pass=True,
        )
    if (
        found.policy in (resource.approved, resource.status.admission_policy)
        or resource.created >= found.since + TAKES_EFFECT
    ):
        return Admitted(found.policy)
    age = "older than" if resource.created < found.since else "as old as, to within some seconds,"
    why = f"This is {age} the admission policy that checks whether an author may read what a resource names"
    is_history = isinstance(resource, Run) and resource.is_history
    if isinstance(resource, Run) and not is_history:
        return NotAdmitted(Reason.OLDER_THAN_POLICY, f"{why}: make it anew", may_pass=False)
    kind = resource.owner.kind.lower()
    command = f"kubectl annotate {kind} -n {resource.namespace} {resource.name} --overwrite {APPROVED}={found.policy}"
    return NotAdmitted(Reason.OLDER_THAN_POLICY, f"{why}. To approve it: {command}", may_pass=is_history)
