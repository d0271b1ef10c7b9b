"""The run that a schedule creates."""

from typing import Any

from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.manifests.scheduled_run import scheduled_run
from tests.unit.fakes.given import OWNER, START, spec


def made(**changes: Any) -> dict[str, Any]:
    return scheduled_run(
        schedule=OWNER,
        name="night-1",
        spec=spec(schedule="0 2 * * *", **changes),
        by=InitiatedBy.SCHEDULER,
        slot=START,
    )


def test_a_scheduled_run_has_no_owner_reference_and_is_labeled_with_its_schedule() -> None:
    meta = made()["metadata"]
    assert "ownerReferences" not in meta
    assert meta["labels"]["backup.quotenode.io/schedule"] == "night"
    assert meta["labels"]["backup.quotenode.io/schedule-uid"] == OWNER.uid
    assert meta["annotations"] == {"backup.quotenode.io/slot": "2026-03-01T02:00:00Z"}


def test_a_scheduled_run_has_no_field_that_only_a_schedule_may_have() -> None:
    changes = {"timeZone": "Europe/Berlin", "suspend": True, "trigger": "x", "staleAfterSeconds": 60}
    copied = made(**changes, successfulRunsHistoryLimit=1, failedRunsHistoryLimit=1)["spec"]
    assert not copied.keys() & {"schedule", *changes, "successfulRunsHistoryLimit", "failedRunsHistoryLimit"}


def test_a_schedule_keeps_the_newest_seven_bundles_unless_it_says_otherwise() -> None:
    assert made()["spec"]["retention"] == {"keepLast": 7}
    assert made(retention={"keepLast": 30})["spec"]["retention"] == {"keepLast": 30}
