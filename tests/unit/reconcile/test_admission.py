"""A resource whose author the admission policy has not checked is not run.

It may be older than the policy, or have been written while there was no policy.
"""

from datetime import datetime, timedelta

import pytest

from quotenode_backup.cluster.admission import Enforcement
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from quotenode_backup.reconcile.admission import TAKES_EFFECT, Admitted, NotAdmitted, judgement, takes_effect_in
from tests.unit.fakes.given import START, run
from tests.unit.fakes.lives import rounds, to_rest
from tests.unit.fakes.policies import POLICY, approve, later, schedule, withdrawn
from tests.unit.fakes.world import BINDINGS, JOBS, POLICIES, RUNS, Client, World

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("age", "is_admitted"),
    [(-SECOND, False), (0 * SECOND, False), (TAKES_EFFECT - SECOND, False), (TAKES_EFFECT, True), (99 * SECOND, True)],
)
def test_only_what_is_younger_than_the_policy_was_judged_by_it(age: timedelta, is_admitted: bool) -> None:
    judged = judgement(run(created=START + age), Enforcement("uid", START), POLICY)
    assert judged == Admitted("uid") if is_admitted else isinstance(judged, NotAdmitted)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (-SECOND, "This is older than the admission policy that checks"),
        (0 * SECOND, "This is as old as, to within some seconds, the admission policy that checks"),
        (TAKES_EFFECT - SECOND, "This is as old as, to within some seconds, the admission policy that checks"),
    ],
)
def test_the_message_of_a_refused_backup_compares_its_age_with_the_policys(age: timedelta, expected: str) -> None:
    """An author who created the backup right after the policy would not believe that the backup is older."""
    judged = judgement(run(created=START + age), Enforcement("uid", START), POLICY)
    assert isinstance(judged, NotAdmitted)
    assert judged.message.startswith(expected)
    assert judged.message.endswith(": make it anew")


def test_an_approval_counts_only_for_the_policy_that_it_names() -> None:
    old = START - SECOND
    assert judgement(run(created=old, approved="uid"), Enforcement("uid", START), POLICY) == Admitted("uid")
    assert isinstance(judgement(run(created=old, approved="uid"), Enforcement("new", START), POLICY), NotAdmitted)
    assert isinstance(judgement(run(created=old), Enforcement("uid", START), POLICY), NotAdmitted)


@pytest.mark.parametrize(
    ("now", "left"),
    [(START, TAKES_EFFECT), (START + SECOND, TAKES_EFFECT - SECOND), (START + TAKES_EFFECT, 0 * SECOND)],
)
def test_an_operator_is_ready_when_its_policy_is_in_effect(now: datetime, left: timedelta) -> None:
    assert takes_effect_in(Enforcement("uid", START), now) == left
    assert takes_effect_in(Enforcement("uid", START + timedelta(hours=1)), now) == TAKES_EFFECT, "another clock"
    assert takes_effect_in(None, now) == timedelta(0)


def test_a_backup_from_before_the_policy_is_refused_and_mounts_nothing() -> None:
    world = World()
    world.apply("night")
    world.enforce(POLICY)
    later(world)
    to_rest(world, Client(world, policy=POLICY))
    status = world.status("night")
    assert (status["phase"], status["reason"]) == ("Failed", "OlderThanPolicy")
    assert "make it anew" in status["message"]
    assert not world.in_(JOBS)


def test_a_refused_backup_gets_no_row_since_that_would_read_its_secret() -> None:
    world = World()
    world.apply("night", auditLog="Enabled")
    world.enforce(POLICY)
    later(world)
    to_rest(world, Client(world, policy=POLICY))
    assert world.status("night")["reason"] == "OlderThanPolicy"
    assert (world.rows, world.in_(JOBS)) == ({}, [])


def test_a_backup_that_the_policy_has_judged_is_made() -> None:
    world = World()
    uid = world.enforce(POLICY)
    later(world)
    world.apply("night")
    to_rest(world, Client(world, policy=POLICY))
    assert (world.status("night")["phase"], world.status("night")["admissionPolicy"]) == ("Completed", uid)


@pytest.mark.parametrize("missing", [POLICIES, BINDINGS])
def test_without_the_policy_a_backup_waits_and_is_refused_once_the_policy_is_back(missing: str) -> None:
    world = World()
    world.enforce(POLICY)
    later(world)
    gone = world.objects.pop(f"{missing}/{POLICY}")
    world.apply("night")
    client = Client(world, policy=POLICY)
    rounds(client)
    assert (world.status("night")["phase"], world.status("night")["reason"]) == ("Pending", "PolicyNotEnforced")
    world.put(missing, POLICY, {"spec": gone["spec"]})
    to_rest(world, client)
    assert world.status("night")["reason"] == "OlderThanPolicy"


@pytest.mark.parametrize("actions", [("Warn",), ("Audit", "Warn")])
def test_a_policy_that_does_not_deny_counts_as_missing(actions: tuple[str, ...]) -> None:
    world = World()
    world.enforce(POLICY, *actions)
    later(world)
    world.apply("night")
    rounds(Client(world, policy=POLICY))
    assert world.status("night")["reason"] == "PolicyNotEnforced"


@pytest.mark.parametrize("changed", [POLICIES, BINDINGS])
def test_a_policy_that_was_changed_in_place_counts_as_missing(changed: str) -> None:
    world = World()
    world.enforce(POLICY)
    meta = world.objects[f"{changed}/{POLICY}"]["metadata"]
    meta["generation"] = 1
    later(world)
    client = Client(world, policy=POLICY)
    world.apply("before")
    to_rest(world, client)
    assert world.status("before")["phase"] == "Completed"

    world.change(f"{changed}/{POLICY}", metadata=meta | {"generation": 2})
    world.apply("after")
    rounds(client)
    assert (world.status("after")["phase"], world.status("after")["reason"]) == ("Pending", "PolicyNotEnforced")


def test_a_release_without_a_policy_checks_nobody() -> None:
    world = World()
    world.apply("night")
    to_rest(world)
    assert world.status("night")["phase"] == "Completed"


def test_a_schedule_from_before_the_policy_is_refused_with_the_command_that_approves_it() -> None:
    world = World()
    world.apply("nightly", schedule="* * * * *")
    uid = world.enforce(POLICY)
    later(world)
    client = Client(world, policy=POLICY)
    status = schedule(world, client)
    assert (status["phase"], status["reason"]) == ("Failed", "OlderThanPolicy")
    command = f"kubectl annotate quotenodebackup -n shop nightly --overwrite {labels.APPROVED}={uid}"
    assert command in str(status["message"])

    approve(world, "nightly", uid)
    assert schedule(world, client)["phase"] == "Scheduled"
    world.now += timedelta(minutes=2)
    schedule(world, client)
    assert [one for one in world.in_(RUNS) if one["metadata"]["name"] != "nightly"]


def test_a_schedule_that_was_judged_goes_on_under_a_release_that_is_installed_anew() -> None:
    world = World()
    world.enforce(POLICY)
    later(world)
    world.apply("nightly", schedule="0 2 * * *")
    client = Client(world, policy=POLICY)
    assert schedule(world, client)["phase"] == "Scheduled"
    withdrawn(world)
    assert schedule(world, client)["phase"] == "Scheduled"
    world.now += timedelta(hours=1)
    world.enforce(POLICY)
    later(world)
    assert schedule(world, client)["phase"] == "Scheduled"

    meta = world.objects[f"{RUNS}/nightly"]["metadata"]
    world.change(f"{RUNS}/nightly", metadata=meta | {"generation": 2})
    assert schedule(world, client)["reason"] == Reason.OLDER_THAN_POLICY, "edited, perhaps while there was no policy"


def test_what_was_accepted_while_the_policy_was_switched_off_is_judged_once_it_is_on() -> None:
    world = World()
    world.apply("nightly", schedule="0 2 * * *")
    assert schedule(world, Client(world))["phase"] == "Scheduled"
    world.enforce(POLICY)
    later(world)
    assert schedule(world, Client(world, policy=POLICY))["reason"] == Reason.OLDER_THAN_POLICY
