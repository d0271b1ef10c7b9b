"""How long a cause that may go away by itself is waited for."""

import pytest

from quotenode_backup.cluster.objects import BackupRun
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.grace_timers import GraceTimers
from tests.unit.fakes.given import START, run, seconds

MISSING, UNKNOWN = Reason.CLAIM_MISSING, Reason.RUN_AS_USER_NEEDED


def exceeded(timers: GraceTimers, one: BackupRun, reason: Reason, after: float) -> bool:
    """Whether a pass so many seconds after START finds that the grace period is over."""
    timers.record(one, reason, START + seconds(after))
    return timers.exceeded(one, reason, START + seconds(after))


@pytest.fixture
def timers() -> GraceTimers:
    """Timers eighty-nine seconds after the first pass over a run whose claim is missing."""
    timers = GraceTimers()
    assert not exceeded(timers, run(), MISSING, 0)
    assert not exceeded(timers, run(), MISSING, 89)
    return timers


def test_the_timer_is_exceeded_after_ninety_seconds_of_one_cause(timers: GraceTimers) -> None:
    assert exceeded(timers, run(), MISSING, 90)


def test_asking_whether_the_timer_is_exceeded_changes_nothing(timers: GraceTimers) -> None:
    assert not timers.exceeded(run(), UNKNOWN, START + seconds(90))
    assert timers.exceeded(run(), MISSING, START + seconds(90))


def test_another_cause_starts_a_timer_of_its_own(timers: GraceTimers) -> None:
    assert not exceeded(timers, run(), UNKNOWN, 90)
    assert not exceeded(timers, run(), MISSING, 91)


def test_another_run_has_a_timer_of_its_own_even_under_the_same_name(timers: GraceTimers) -> None:
    assert not exceeded(timers, run(name="another"), MISSING, 90)
    assert not exceeded(timers, run(uid="anew"), MISSING, 90)


def test_a_run_that_went_on_in_between_gets_the_whole_time_again(timers: GraceTimers) -> None:
    timers.reset(run().owner.key)
    assert not exceeded(timers, run(), MISSING, 90)
