"""How long a cause that may pass is waited for."""

from dataclasses import replace

import pytest

from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.grace_timers import Patience
from tests.unit.fakes.given import START, run, seconds

MISSING, UNKNOWN = Reason.CLAIM_MISSING, Reason.RUN_AS_USER_NEEDED


@pytest.fixture
def patience() -> Patience:
    """Ninety seconds after the first look at a run whose claim is missing."""
    patience = Patience()
    assert not patience.is_over(run(), MISSING, START)
    assert not patience.is_over(run(), MISSING, START + seconds(89))
    return patience


def test_it_ends_after_ninety_seconds_of_one_cause(patience: Patience) -> None:
    assert patience.is_over(run(), MISSING, START + seconds(90))


def test_another_cause_has_a_time_of_its_own(patience: Patience) -> None:
    assert not patience.is_over(run(), UNKNOWN, START + seconds(90))
    assert not patience.is_over(run(), MISSING, START + seconds(91))


def test_so_has_another_run_and_one_made_anew_under_the_name(patience: Patience) -> None:
    assert not patience.is_over(replace(run(), name="another"), MISSING, START + seconds(90))
    assert not patience.is_over(replace(run(), uid="anew"), MISSING, START + seconds(90))


def test_a_run_that_went_on_meanwhile_begins_anew(patience: Patience) -> None:
    patience.renew(run().namespace, run().name)
    assert not patience.is_over(run(), MISSING, START + seconds(90))
