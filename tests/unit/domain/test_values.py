"""Names, times and texts follow from their arguments and stay within limits."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.domain import naming, timing
from quotenode_backup.domain.reasons import VERDICTS, Exit, Reason, is_retryable
from quotenode_backup.domain.target import Target
from quotenode_backup.domain.text import readable_size, shortened
from tests.unit.fakes.given import START, seconds

ANY_NAME = st.text(min_size=1, max_size=63)


@given(first=ANY_NAME, second=ANY_NAME)
def test_two_databases_never_share_a_lock_or_a_folder(first: str, second: str) -> None:
    one, other = Target("shop", "db", 5432, first), Target("shop", "db", 5432, second)
    same_folder = one.bundle_folder == other.bundle_folder
    assert (one.lease_name == other.lease_name) == same_folder == (first == second)
    assert "/" not in one.bundle_folder


def test_the_parts_of_a_name_do_not_run_together() -> None:
    assert naming.digest("a", "bc") != naming.digest("ab", "c")


def test_every_name_of_a_child_fits_a_label() -> None:
    assert len(naming.job_name("backup", "u" * 36, 99)) <= 63
    assert len(Target("shop", "h" * 253, 65535, "n" * 63).lease_name) <= 63


def test_a_bundle_is_named_after_its_start_in_utc() -> None:
    there = datetime(2026, 3, 1, 1, 30, 5, tzinfo=timezone(timedelta(hours=2)))
    assert naming.bundle_name(there) == "quotenode-backup-20260228-233005.tar.gz"
    assert naming.bundle_name(there.astimezone(UTC)) == naming.bundle_name(there)


@pytest.mark.parametrize(("active", "margin"), [(30, 7.5), (240, 60), (1800, 60), (604800, 60)])
def test_the_runner_ends_before_the_deadline(active: int, margin: float) -> None:
    assert timing.deadline(START, active) - timing.runner_deadline(START, active) == seconds(margin)


def test_pauses_grow_and_stay_below_a_minute() -> None:
    assert [timing.retry_delay(n).total_seconds() for n in (0, 1, 2, 3, 4, 5, 500)] == [5, 5, 10, 20, 40, 60, 60]
    assert [timing.busy_delay(n, offline=False).total_seconds() for n in (1, 2, 4, 500)] == [15, 30, 60, 60]


def test_pauses_of_an_offline_run_and_of_a_task_grow_in_minutes_and_stay_below_an_hour() -> None:
    minute = timedelta(minutes=1)
    assert [timing.busy_delay(n, offline=True) / minute for n in (1, 2, 11, 12, 500)] == [5, 10, 55, 60, 60]
    assert [timing.followup_delay(n) / minute for n in (0, 1, 2, 3, 6, 7, 500)] == [1, 1, 2, 4, 32, 60, 60]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (1 << 62, "4096.0 PiB")],
)
def test_sizes_have_a_binary_unit_and_one_decimal(size: int, text: str) -> None:
    assert readable_size(size) == text


@given(st.text(max_size=300), st.integers(1, 100))
def test_a_shortened_text_is_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert len(short) <= limit
    assert short.isprintable()


def test_these_reasons_and_no_others_are_tried_again() -> None:
    assert {str(reason) for reason in Reason if is_retryable(reason)} == {
        "ChildKilled",
        "DumpFailed",
        "FileChanged",
        "IOError",
        "InternalError",
        "Interrupted",
        "LoadFailed",
        "LockBusy",
        "NotLoaded",
        "OOMKilled",
        "PodLost",
        "ReadBackMismatch",
        "ResultMissing",
        "RowsDiffer",
        "SessionInTheWay",
        "SourceConnectionLost",
        "SourceUnreachable",
        "SwapUndecided",
        "SwapUnfinished",
        "TableLocked",
        "TableRewritten",
    }


def test_no_failure_has_the_exit_code_of_success() -> None:
    assert Exit.OK not in {verdict.exit_code for verdict in VERDICTS.values()}
