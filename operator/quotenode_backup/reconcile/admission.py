"""Whether the author of a resource was asked: the admission policy judges what is written while it is in force, and nothing else."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.cluster.admission import AdmissionPolicy, Enforcement
from quotenode_backup.cluster.objects import Resource, Run
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.labels import APPROVED

TAKES_EFFECT = timedelta(seconds=5)
"""How long the API servers may take to enforce a new policy. They look for one each second."""


@dataclass(frozen=True, slots=True)
class Admitted:
    policy: str
    """UID of the policy that judged it; empty when there is to be none."""


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    reason: Reason
    message: str
    may_pass: bool


def takes_effect_in(found: Enforcement | None, now: datetime) -> timedelta:
    """How long a new policy may still let something pass. Never longer than it takes, whatever the clocks say."""
    if found is None:
        return timedelta(0)
    return min(max(found.since + TAKES_EFFECT - now, timedelta(0)), TAKES_EFFECT)


class Admission:
    def __init__(self, policy: AdmissionPolicy | None) -> None:
        """None: there is to be no policy."""
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
    """The policy under which this very generation was accepted, or the schedule that a run was copied from; empty when there was none.

    A release that is installed anew, or has another policy, finds that what an earlier one judged stays judged. Such a schedule gets the new
    policy's UID, so that an edit under that one counts as judged by it.
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
            f"The admission policy {name} is not in force, so nobody asked whether the author may read what this names:"
            " run helm upgrade, and if it was changed in place, delete it and its binding first",
            may_pass=True,
        )
    if (
        found.policy in (resource.approved, resource.status.admission_policy)
        or resource.created >= found.since + TAKES_EFFECT
    ):
        return Admitted(found.policy)
    age = "older than" if resource.created < found.since else "as old as, to within some seconds,"
    why = f"This is {age} the admission policy that is to ask whether its author may read what it names"
    is_history = isinstance(resource, Run) and resource.is_history
    if isinstance(resource, Run) and not is_history:
        return NotAdmitted(Reason.OLDER_THAN_POLICY, f"{why}: make it anew", may_pass=False)
    command = f"kubectl annotate qnb -n {resource.namespace} {resource.name} --overwrite {APPROVED}={found.policy}"
    return NotAdmitted(Reason.OLDER_THAN_POLICY, f"{why}. If that is in order: {command}", may_pass=is_history)
