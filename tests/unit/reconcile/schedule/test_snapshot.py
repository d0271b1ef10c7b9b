"""What the metrics show of a schedule."""

from datetime import datetime, timedelta
from typing import Any

from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.cluster.objects import Backup, UnreadableSchedule
from quotenode_backup.reconcile.schedule.snapshot import Snapshot, snapshot
from tests.unit.fakes.given import OWNER, START, mark, run, schedule, spec, status


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def read(known: BackupStatus | None = None, *runs: Backup, **changes: Any) -> Snapshot:
    one = schedule(known, schedule="0 2 * * *", **changes)
    return snapshot(one, one.status, runs)


def test_a_new_schedule_has_nothing_to_say_of_backups() -> None:
    new = read()
    assert (new.created, new.stale_after_seconds, new.suspended, new.running) == (START, 172800, False, 0)
    assert {new.last_success, new.last_attempt, new.last_failed, new.last_size_bytes, new.running_since} == {None}


def test_everything_of_the_past_is_in_the_status_alone() -> None:
    known = BackupStatus(
        last_successful_time=minutes(10),
        last_failed_time=minutes(5),
        last_size_bytes=100,
        last_duration_seconds=7,
        next_schedule_time=minutes(60),
        missed_slots=2,
        skipped_slots=1,
    )
    seen = read(known)
    assert (seen.last_success, seen.last_attempt, seen.next_slot) == (minutes(10), minutes(10), minutes(60))
    assert (seen.last_size_bytes, seen.last_duration_seconds) == (100, 7)
    assert (seen.missed_slots, seen.skipped_slots) == (2, 1)


def test_the_run_that_ended_last_says_whether_it_failed() -> None:
    good, bad = {"last_successful_time": minutes(1)}, {"last_failed_time": minutes(2)}
    assert read(BackupStatus(**good)).last_failed is False
    assert read(BackupStatus(**bad)).last_failed is True
    assert read(BackupStatus(**good, **bad)).last_failed is True
    assert read(BackupStatus(last_successful_time=minutes(3), **bad)).last_failed is False
    assert read(BackupStatus(last_successful_time=minutes(2), **bad)).last_failed is False


def test_the_deadline_is_that_of_the_oldest_run_at_work_by_its_own_spec() -> None:
    waiting = run(name="waiting", created=minutes(0))
    at_work = run(status(start_time=minutes(5)), name="at-work", spec=spec(activeDeadlineSeconds=600))
    seen = read(None, waiting, at_work, activeDeadlineSeconds=60)
    assert (seen.running, seen.running_since, seen.running_until) == (2, minutes(5), minutes(15))


def test_of_several_runs_the_oldest_counts_and_those_that_ended_do_not() -> None:
    over = run(status(holding=("Accepted", "Complete"), start_time=minutes(0)), name="over", created=minutes(0))
    waiting = [run(name=f"waiting-{at}", created=minutes(at)) for at in (4, 3)]
    at_work = [run(status(start_time=minutes(at)), name=f"at-work-{at}", created=minutes(1)) for at in (7, 6)]
    seen = read(None, over, *waiting, *at_work)
    assert (seen.running, seen.waiting_since, seen.running_since) == (4, minutes(3), minutes(6))
    assert seen.last_attempt == minutes(4)


def test_a_run_that_waits_is_running_but_has_no_deadline() -> None:
    seen = read(None, run(created=minutes(3)))
    assert (seen.running, seen.running_since, seen.running_until) == (1, None, None)
    assert seen.last_attempt == minutes(3)


def test_a_run_that_came_back_without_its_status_is_not_running_and_no_new_attempt() -> None:
    found = read(BackupStatus(), run(mark=mark(), created=minutes(90)))
    assert (found.running, found.waiting_since, found.running_since) == (0, None, None)
    assert found.last_attempt == mark().completion_time


def test_the_values_of_the_spec_count_and_not_the_defaults() -> None:
    seen = read(None, staleAfterSeconds=604800, suspend=True)
    assert (seen.stale_after_seconds, seen.suspended) == (604800, True)


def test_a_schedule_that_cannot_be_read_still_becomes_stale() -> None:
    unread = UnreadableSchedule(
        owner=OWNER,
        resource_version="1",
        generation=1,
        created=START,
        deleting=False,
        status=BackupStatus(last_successful_time=minutes(1)),
        fault="spec.storage does not fit",
    )
    seen = snapshot(unread, unread.status, ())
    assert (seen.last_success, seen.stale_after_seconds) == (minutes(1), 172800)
