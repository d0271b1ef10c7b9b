"""Whatever a result has to say, its line fits into a termination message, and what the operator decides by is kept longest."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.contract import results
from quotenode_backup.contract.results import (
    AuditOutcome,
    BackupResult,
    Outcome,
    RetentionOutcome,
    StoredBundle,
    StoredComponent,
)
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.retention import fingerprint
from quotenode_backup.runner.store.inventory import MOST_SURVIVORS
from quotenode_backup.runner.store.retention import PROBLEM_LIMIT

SHA256 = "d9" * 32
COMPONENT = StoredComponent(size_bytes=2**50, sha256=SHA256)


def result(message: str, problem: str | None, said: str, survivors: int, path: str = "a" * 400) -> BackupResult:
    return BackupResult(
        run_uid="0b6f2a9e-6a53-4f0e-9d59-0c6f7d1c2e3f",
        attempt=12,
        outcome=Outcome.SUCCEEDED,
        reason=Reason.COMPLETED,
        message=message,
        bundle=StoredBundle(
            path=path,
            size_bytes=2**50,
            sha256=SHA256,
            database=COMPONENT,
            files=COMPONENT,
            completed=datetime(2026, 3, 1, tzinfo=UTC),
            user_id=4294967294,
        ),
        notes=10**9,
        retention=RetentionOutcome(
            survivors="".join(map(fingerprint, map(str, range(survivors)))), pruned=999, problem=problem
        ),
        audit=AuditOutcome(logged=False, reason=Reason.SOURCE_CONNECTION_LOST, message=said),
    )


def read(line: bytes) -> BackupResult:
    return BackupResult.model_validate(json.loads(line))


def test_365_survivors_and_long_sentences_of_any_alphabet_fit() -> None:
    for character in ("x", "é", "語", "😀", '"', "\\"):
        full = result(
            character * results.DETAIL_LIMIT, character * PROBLEM_LIMIT, character * results.DETAIL_LIMIT, 365
        )
        line = results.to_line(full)
        assert len(line) <= results.RESULT_LIMIT
        assert read(line).bundle == full.bundle
        assert read(line).retention is not None
        assert read(line).message


def test_365_survivors_are_kept_with_an_ordinary_path_and_a_long_message() -> None:
    path = f"{'backups/' * 5}{'n' * 63}-{'0' * 24}/quotenode-backup-20260301-023015.tar.gz"
    full = result("é" * results.DETAIL_LIMIT, None, "The run is a row of public.backup_logs.", 365, path)
    kept = read(results.to_line(full))
    assert kept.retention == full.retention
    assert kept.message.startswith("é" * 60)


def test_a_result_that_fits_is_not_shortened() -> None:
    full = result("short", "a problem", "a word", 20)
    assert read(results.to_line(full)) == full


@given(st.text(max_size=600), st.text(max_size=300), st.text(max_size=600), st.integers(0, MOST_SURVIVORS))
def test_any_result_fits(message: str, problem: str, said: str, survivors: int) -> None:
    full = result(message, problem, said, survivors)
    line = results.to_line(full)
    assert len(line) <= results.RESULT_LIMIT
    assert read(line).bundle == full.bundle
