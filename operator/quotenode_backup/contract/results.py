"""What the runner tells the operator: how a Job ended, as the termination message of its container."""

from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from quotenode_backup.domain.reasons import Reason

RESULT_LIMIT = 3500
"""Bytes: the kubelet cuts a termination message at 4096."""
DETAIL_LIMIT = 512
"""Characters of a sentence in a result."""


class Outcome(StrEnum):
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class _Told(BaseModel):
    """Read leniently: a newer runner may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Result(_Told):
    """How an attempt ended. Only a hint: what is on the volume or in the database is the truth."""

    run_uid: str
    attempt: int
    outcome: Outcome
    reason: Reason
    message: str
    """One sentence, at most `DETAIL_LIMIT` characters."""

    def shortened(self, limit: int) -> Self:
        """With sentences of at most `limit` bytes."""
        return self.model_copy(update={"message": cut(self.message, limit)})

    def without_lists(self) -> Self:
        """Without what can be long and is not needed to know how the attempt ended."""
        return self


class StoredComponent(_Told):
    size_bytes: int
    """As stored, compressed."""
    sha256: str


class StoredBundle(_Told):
    """A bundle that was committed and read back."""

    path: str
    """Below the root of the claim."""
    size_bytes: int
    sha256: str
    database: StoredComponent
    files: StoredComponent | None = None
    """Absent when the plan names no files."""
    completed: AwareDatetime
    user_id: int | None = None
    """As whom it was written."""


class RetentionOutcome(_Told):
    """What became of the older bundles. A failure here never fails a run."""

    survivors: str | None = None
    """The fingerprints (`domain.retention.fingerprint`) of all runs whose bundles are in the folder, joined. Absent when the listing can't be trusted
    or they are too many to say: then nothing is known."""
    pruned: int = 0
    problem: str | None = None
    """One sentence: why nothing, or not everything, was removed."""


class AuditOutcome(_Told):
    logged: bool
    reason: Reason
    message: str


class SearchResult(Result):
    """Of a search for the bundle of a run that came back."""

    bundle: StoredBundle | None = None
    """Absent when it was not found."""


class BackupResult(Result):
    bundle: StoredBundle | None = None
    """Absent when the attempt failed."""
    notes: int = 0
    """How many oddities (warnings of pg_dump, files that came or went, sockets left out) the manifest lists."""
    retention: RetentionOutcome | None = None
    """Absent when the plan has no retention, or the run did not come so far."""
    audit: AuditOutcome | None = None
    """Absent when the plan wants no row, or the runner could not try."""

    def shortened(self, limit: int) -> Self:
        retention, audit = self.retention, self.audit
        update = {
            "message": cut(self.message, limit),
            "retention": retention and retention.model_copy(update={"problem": cut(retention.problem, limit)}),
            "audit": audit and audit.model_copy(update={"message": cut(audit.message, limit)}),
        }
        return self.model_copy(update=update)

    def without_lists(self) -> Self:
        retention = self.retention and self.retention.model_copy(update={"survivors": None})
        return self.model_copy(update={"retention": retention})


def cut(text: str | None, limit: int) -> str | None:
    """At most `limit` bytes of UTF-8, never half a character."""
    return text and text.encode()[:limit].decode(errors="ignore")


def to_line(result: Result) -> bytes:
    """The result as one JSON line within `RESULT_LIMIT`: sentences give way first, then lists."""
    for shortened in (result, *(result.shortened(limit) for limit in (384, 256, 128))):
        if len(line := _line(shortened)) <= RESULT_LIMIT:
            return line
    return _line(shortened.without_lists())


def _line(result: Result) -> bytes:
    return result.model_dump_json(by_alias=True, exclude_none=True).encode()
