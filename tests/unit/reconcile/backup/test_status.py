"""The status after each thing that can happen: its conditions, and the phase and message that match them."""

from datetime import datetime
from typing import Any

import pytest

from quotenode_backup.api.backup_status import BackupStatus
from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.api.run_status import ATTEMPTS_KEPT
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.jobs.outcome import Ended
from quotenode_backup.reconcile.reporting.conditions import observed, waiting
from tests.unit.fakes.given import START, attempt, bundle, result, run, seconds, status

LATER = START + seconds(60)


def holding(changed: BackupStatus) -> dict[str, bool]:
    return {condition.type: condition.status == "True" for condition in changed.conditions}


def test_an_accepted_run_is_pending() -> None:
    changed = next_status.accepted(run(generation=4), "", START)
    assert (changed.phase, changed.reason, changed.initiated_by) == ("Pending", "Accepted", "Admin")
    assert holding(changed) == {"Accepted": True, "Progressing": False}
    assert (changed.observed_generation, changed.conditions[0].observed_generation) == (4, 4)


def test_who_started_a_run_is_never_rewritten() -> None:
    assert next_status.accepted(run(BackupStatus(initiated_by="Scheduler")), "", START).initiated_by == "Scheduler"


def test_waiting_is_pending_with_its_reason() -> None:
    changed = waiting(run(), status(), Reason.WAITING_FOR_TARGET, "Waiting for noon", START)
    assert (changed.phase, changed.message) == ("Pending", "Waiting for noon")


def test_the_first_attempt_starts_the_clock_and_later_ones_leave_it() -> None:
    first = next_status.attempt_begun(run(status()), 1, 1000, START)
    assert (first.phase, first.start_time, first.job_name) == ("Running", START, attempt().job_name)
    second = next_status.attempt_begun(run(status(attempt(1, reason=Reason.IO_ERROR))), 2, None, LATER)
    assert (second.start_time, second.attempts[-1].start_time) == (START, LATER)


def test_only_the_last_attempts_are_kept() -> None:
    so_far = status(*(attempt(number, reason=Reason.LOCK_BUSY) for number in range(1, 6)))
    changed = next_status.attempt_begun(run(so_far), 6, None, START)
    assert [one.number for one in changed.attempts] == [2, 3, 4, 5, 6]
    assert len(changed.attempts) == ATTEMPTS_KEPT


def test_a_failed_attempt_counts_and_keeps_the_run_running() -> None:
    changed = next_status.attempt_ended(run(status(attempt())), Ended(Reason.IO_ERROR, "The disk says no", 74), LATER)
    last = changed.attempts[-1]
    assert (last.completion_time, last.reason, last.exit_code) == (LATER, "IOError", 74)
    assert (changed.failures, changed.phase, changed.message) == (1, "Running", "The disk says no")
    assert changed.start_time == START


def test_a_busy_lock_counts_for_nothing_and_stops_the_clock() -> None:
    changed = next_status.attempt_ended(run(status(attempt())), Ended(Reason.LOCK_BUSY, "Held by pid 7", 75), LATER)
    assert (changed.failures, changed.start_time, changed.phase) == (0, None, "Pending")
    assert (changed.reason, changed.attempts[-1].reason) == ("WaitingForTarget", "LockBusy")
    assert next_status.attempt_begun(run(changed), 2, None, LATER).start_time == LATER


def test_completion_tells_everything_about_the_bundle() -> None:
    ended = Ended(Reason.COMPLETED, "Done", 0, result(notes=3))
    changed = next_status.completed(run(status(attempt())), bundle(), ended, LATER)
    assert changed.notes == 3
    assert (changed.phase, changed.completion_time, changed.size_bytes, changed.size) == (
        "Completed",
        START,
        1500,
        "1.5 KiB",
    )
    assert (changed.checksum, changed.destinations[0].claim_name) == ("a" * 64, "bundles")
    assert changed.destinations[0].path == bundle().path
    assert changed.components is not None
    assert changed.components.files is not None
    assert (changed.components.database.size_bytes, changed.components.files.checksum) == (1000, "c" * 64)
    assert holding(changed) == {
        "Accepted": True,
        "Progressing": False,
        "Complete": True,
        "Verified": True,
        "LocalBundlePresent": True,
        "AuditLogged": False,
    }
    assert (changed.attempts[-1].reason, changed.attempts[-1].exit_code) == ("Completed", 0)


def test_a_bundle_without_files_has_one_component() -> None:
    slim = bundle(files=None)
    changed = next_status.completed(
        run(status(attempt())), slim, Ended(Reason.COMPLETED, "Done", 0, result(bundle=slim)), LATER
    )
    assert changed.components is not None
    assert changed.components.files is None


def test_a_failure_before_acceptance_says_that_too() -> None:
    changed = next_status.failed(run(), Reason.CLAIMS_APART, "Two nodes", LATER)
    assert holding(changed) == {"Accepted": False, "Progressing": False, "Failed": True, "AuditLogged": False}
    assert (changed.phase, changed.completion_time) == ("Failed", LATER)


def test_a_failure_after_acceptance_leaves_it_accepted() -> None:
    assert next_status.failed(run(status()), Reason.IO_ERROR, "no", LATER).holds(ConditionType.ACCEPTED)


@pytest.mark.parametrize(("was", "since"), [(True, START), (False, LATER)])
def test_a_condition_changes_its_time_only_with_its_status(was: bool, since: datetime) -> None:
    begun = observed(run(), BackupStatus(), Reason.JOB_RUNNING, "x", START)
    before = begun if was else next_status.accepted(run(), "", START)
    changed = observed(run(before), before, Reason.JOB_CREATED, "y", LATER)
    progressing = changed.condition(ConditionType.PROGRESSING)
    assert progressing is not None
    assert (progressing.last_transition_time, progressing.message) == (since, "y")


@pytest.mark.parametrize("what", [waiting, observed])
def test_saying_the_same_again_changes_nothing(what: Any) -> None:
    once = what(run(), BackupStatus(), Reason.JOB_CREATED, "The Job has no pod yet", START)
    assert what(run(once), once, Reason.JOB_CREATED, "The Job has no pod yet", LATER) == once


def test_every_sentence_fits_its_field() -> None:
    endless = "naïve\n" * 1000
    changed = next_status.attempt_ended(run(status(attempt())), Ended(Reason.IO_ERROR, endless), LATER)
    sentences = [changed.message, changed.attempts[-1].message, *(one.message for one in changed.conditions)]
    assert all(len(sentence or "") <= 1024 and "\n" not in (sentence or "") for sentence in sentences)
    BackupStatus.model_validate(changed.model_dump())
