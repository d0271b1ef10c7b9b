"""What a schedule's status keeps of its runs, and which old runs are deleted."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.cluster.backup_parsing import backup_of
from quotenode_backup.cluster.errors import Conflict
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Backup, Schedule
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from quotenode_backup.reconcile.admission import Admission
from quotenode_backup.reconcile.schedule.history import REMOVED_AT_ONCE, beyond_limits, with_runs
from quotenode_backup.reconcile.schedule.reconciler import ScheduleReconciler
from quotenode_backup.reconcile.schedule.snapshot import Snapshots
from tests.unit.fakes.given import START, condition, run, spec, status
from tests.unit.fakes.lives import context
from tests.unit.fakes.world import RUNS, Client, World

PRESENT = ConditionType.LOCAL_BUNDLE_PRESENT


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def ended(number: int, how: str = "Complete", *more: str, **changes: Any) -> Backup:
    """A run that took the hour before `number`."""
    took = {"start_time": hours(number - 1), "completion_time": hours(number)}
    known = status(holding=("Accepted", how, *more), **(took | changes))
    return run(known, name=f"run-{number}", uid=f"uid-{number}", created=hours(number - 1))


def without_row(number: int, reason: Reason) -> Backup:
    owed = condition("AuditLogged", None if reason is Reason.AUDIT_PENDING else False).model_copy(
        update={"reason": reason}
    )
    one = ended(number)
    return run(one.status.model_copy(update={"conditions": [*one.status.conditions, owed]}), name=one.name, uid=one.uid)


def gone(*runs: Backup, **limits: int) -> list[str]:
    return [one.name for one in beyond_limits(spec(**limits), runs)]


def test_the_oldest_above_the_limit_go() -> None:
    runs = [ended(number) for number in (3, 1, 4, 2)]
    assert gone(*runs, successfulRunsHistoryLimit=2) == ["run-1", "run-2"]
    assert gone(*runs, successfulRunsHistoryLimit=0) == ["run-1", "run-2", "run-3", "run-4"]


def test_failed_and_successful_runs_have_limits_of_their_own() -> None:
    runs = [*(ended(number) for number in range(1, 4)), *(ended(number, "Failed") for number in range(4, 7))]
    assert gone(*runs, successfulRunsHistoryLimit=2) == ["run-1"]
    assert gone(*runs, failedRunsHistoryLimit=1) == ["run-4", "run-5"]


@pytest.mark.parametrize(("how", "kept"), [("Complete", 50), ("Failed", 10)])
def test_without_a_limit_these_many_stay(how: str, kept: int) -> None:
    assert gone(*(ended(number, how) for number in range(1, kept + 1))) == []
    assert gone(*(ended(number, how) for number in range(1, kept + 2))) == ["run-1"]


def test_a_run_whose_local_bundle_exists_neither_goes_nor_counts() -> None:
    runs = [ended(1, "Complete", PRESENT), ended(2), ended(3, "Complete", PRESENT)]
    assert gone(*runs, successfulRunsHistoryLimit=1) == []
    assert gone(*runs, successfulRunsHistoryLimit=0) == ["run-2"]


def test_a_run_whose_row_in_the_audit_table_is_owed_stays_for_now() -> None:
    owed, given_up = without_row(1, Reason.AUDIT_PENDING), without_row(2, Reason.AUDIT_FAILED)
    assert gone(owed, given_up, ended(3), ended(4), successfulRunsHistoryLimit=1) == ["run-2", "run-3"]


def test_what_is_unfinished_or_on_its_way_out_stays() -> None:
    leaving = run(ended(1).status, name="leaving", deleting=True)
    assert gone(leaving, run(name="waiting"), successfulRunsHistoryLimit=0, failedRunsHistoryLimit=0) == []


def test_only_a_few_go_in_one_pass_the_oldest_first() -> None:
    runs = [ended(number) for number in range(1, 100)]
    assert gone(*runs, successfulRunsHistoryLimit=1) == [f"run-{number}" for number in range(1, REMOVED_AT_ONCE + 1)]


def test_of_two_runs_made_within_one_second_the_later_started_is_the_last() -> None:
    runs = [run(ended(number).status, name=f"run-{number}", uid=uid) for number, uid in ((1, "z"), (2, "a"))]
    known = with_runs(BackupStatus(), runs)
    assert known.last_run
    assert known.last_run.name == "run-2"


def test_time_size_and_duration_are_those_of_the_newest_success() -> None:
    runs = [ended(2, size_bytes=20), ended(5, size_bytes=50, start_time=hours(4.5)), ended(6, "Failed")]
    known = with_runs(BackupStatus(), runs)
    assert (known.last_successful_time, known.last_size_bytes, known.last_duration_seconds) == (hours(5), 50, 1800)
    assert known.last_failed_time == hours(6)
    assert known.last_run
    assert (known.last_run.name, known.last_run.phase) == ("run-6", "Pending")


def test_what_is_known_of_runs_that_are_gone_stays_known() -> None:
    known = with_runs(BackupStatus(), [ended(5, size_bytes=50), ended(6, "Failed")])
    assert with_runs(known, []) == known
    assert with_runs(known, [ended(2, size_bytes=20)]).last_size_bytes == 50


class Site:
    """A schedule in a world, and passes over it."""

    def __init__(self, **changes: Any) -> None:
        self.world = World()
        self.client = Client(self.world)
        self.readings: Snapshots = {}
        self.uid = self.world.apply("night", schedule="0 2 * * *", **changes)
        self._passes = ScheduleReconciler(context(self.world, self.client), self.readings, Admission(None))

    def had(self, count: int, *, bundle: bool = False) -> None:
        """Runs that completed, one a minute."""
        for number in range(count):
            self.world.now += timedelta(minutes=1)
            name = f"night-{number:03d}"
            meta = {"labels": {labels.SCHEDULE: "night", labels.SCHEDULE_UID: self.uid}}
            body = self.world.put(RUNS, name, {"metadata": meta, "spec": self._spec()})
            kinds = ["Accepted", "Complete", *(["LocalBundlePresent"] if bundle else [])]
            when = self.world.now.isoformat()
            known = [condition(kind).model_dump(mode="json", by_alias=True) for kind in kinds]
            body["status"] = {"conditions": known, "startTime": when, "completionTime": when, "sizeBytes": number}

    def _spec(self) -> dict[str, Any]:
        whole = self.world.objects[f"{RUNS}/night"]["spec"]
        return {key: value for key, value in whole.items() if key in {"database", "storage"}}

    def passes(self, count: int = 1) -> list[timedelta | None]:
        return [asyncio.run(self._one_pass()) for _ in range(count)]

    async def _one_pass(self) -> timedelta | None:
        found = backup_of(self.world.objects[f"{RUNS}/night"])
        assert isinstance(found, Schedule)
        return (await self._passes.reconcile(found)).requeue_after

    def left(self) -> int:
        return len(self.world.in_(RUNS)) - 1


def test_the_history_shrinks_to_its_limit_in_some_passes_and_is_left_alone_then() -> None:
    site = Site(successfulRunsHistoryLimit=5)
    site.had(50)
    assert site.passes(5)[-1] != timedelta(0)
    assert site.left() == 5
    writes = len(site.client.writes)
    site.passes(2)
    assert len(site.client.writes) == writes


def test_the_status_remembers_before_anything_goes() -> None:
    site = Site(successfulRunsHistoryLimit=0)
    site.had(3)
    site.passes(3)
    assert site.left() == 0
    first_gone = next(number for number, write in enumerate(site.client.writes) if write.startswith("DELETE"))
    assert f"PATCH {RUNS}/night/status" in site.client.writes[:first_gone]
    assert site.world.status("night")["lastSizeBytes"] == 2
    assert site.readings["shop", "night"].last_size_bytes == 2


def test_with_their_bundles_on_the_volume_all_stay() -> None:
    site = Site(successfulRunsHistoryLimit=0)
    site.had(3, bundle=True)
    site.passes(3)
    assert site.left() == 3


def test_a_run_that_changed_meanwhile_is_not_removed() -> None:
    site = Site()
    site.had(1)
    seen = backup_of(site.world.objects[f"{RUNS}/night-000"])
    site.world.change(f"{RUNS}/night-000")
    with pytest.raises(Conflict):
        asyncio.run(Cluster(site.client).backups.delete(seen))
    assert site.left() == 1
