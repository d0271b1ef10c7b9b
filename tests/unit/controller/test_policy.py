"""An operator is ready when the admission policy that came with it is in effect."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.errors import NotFound, Unavailable
from quotenode_backup.controller.health import until_in_effect
from quotenode_backup.reconcile.admission import TAKES_EFFECT


class Policies:
    """A cluster's policy and binding. At first the cluster does not have them, or does not answer."""

    def __init__(self, *answers: Exception, age: timedelta = TAKES_EFFECT) -> None:
        self._answers = list(answers)
        self._created = datetime.now(UTC) - age
        self.asked = 0

    async def read(self, path: str) -> dict[str, Any]:
        self.asked += 1
        if self._answers:
            raise self._answers.pop(0)
        meta = {"uid": path, "generation": 1, "creationTimestamp": self._created.isoformat()}
        return {"metadata": meta, "spec": {"policyName": "backups", "validationActions": ["Deny"]}}


def waited(policies: Policies, name: str = "backups") -> float:
    """Seconds."""
    began = time.monotonic()
    asyncio.run(until_in_effect(AdmissionPolicy(policies, name), pause_seconds=0.01, tries=4))
    return time.monotonic() - began


def test_a_policy_that_is_new_is_given_its_time() -> None:
    assert waited(Policies(age=TAKES_EFFECT - timedelta(seconds=0.3))) > 0.1


def test_a_policy_that_comes_after_the_operator_is_waited_for() -> None:
    policies = Policies(NotFound("not yet"), Unavailable("not now"))
    assert waited(policies) < 5
    assert policies.asked == 4


def test_a_policy_that_does_not_come_is_waited_for_only_so_long() -> None:
    policies = Policies(*[NotFound("gone")] * 99)
    waited(policies)
    assert policies.asked == 4


def test_without_a_policy_nothing_is_requested() -> None:
    policies = Policies()
    waited(policies, name="")
    assert policies.asked == 0
