"""Whether the author of a resource was asked: the admission policy judges what is written while it is in force, and nothing else."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from quotenode_backup.api.status import ConditionType
from quotenode_backup.cluster.admission import AdmissionPolicy, Enforcement
from quotenode_backup.cluster.views import Run
from quotenode_backup.domain.errors import Reason
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

    async def judge(self, run: Run) -> Admitted | NotAdmitted:
        if self._policy is None:
            return Admitted("")
        known = judged_before(run)
        return Admitted(known) if known else judgement(run, await self._policy.enforcement(), self._policy.name)


def judged_before(run: Run) -> str:
    """The policy that was in force when this very generation was accepted; empty when there was none, or it was not. A release that is installed
    anew has a new policy, and what an earlier one judged stays judged."""
    accepted = run.status.condition(ConditionType.ACCEPTED)
    is_this = accepted is not None and accepted.status == "True" and accepted.observed_generation == run.generation
    return run.status.admission_policy or "" if is_this else ""


def judgement(run: Run, found: Enforcement | None, name: str) -> Admitted | NotAdmitted:
    if found is None:
        return NotAdmitted(
            Reason.POLICY_NOT_ENFORCED,
            f"The admission policy {name} is not in force, so nobody asked whether the author may read what this names: helm upgrade brings it back",
            may_pass=True,
        )
    if found.policy == run.approved or run.created >= found.since + TAKES_EFFECT:
        return Admitted(found.policy)
    remedy = (
        f"kubectl annotate qnb -n {run.namespace} {run.name} --overwrite {APPROVED}={found.policy}"
        if run.is_schedule
        else "make it anew"
    )
    return NotAdmitted(
        Reason.OLDER_THAN_POLICY,
        "This is older than the admission policy that would have asked whether its author may read what it names. If that is in order: "
        + remedy,
        may_pass=False,
    )
