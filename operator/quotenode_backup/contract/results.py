"""What the runner tells the operator: how a Job ended, in the termination message of its container."""

from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from quotenode_backup.domain.reasons import Reason

RESULT_LIMIT = 3500
"""Bytes. The kubelet truncates a termination message to 4096 bytes."""
DETAIL_LIMIT = 512
"""The most characters that a sentence in a result may have."""


class Outcome(StrEnum):
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class _Reported(BaseModel):
    """Results are read leniently: a newer runner may report more."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Result(_Reported):
    """How an attempt ended. This is only a hint: the truth is what is on the volume or in the database."""

    run_uid: str
    attempt: int
    outcome: Outcome
    reason: Reason
    message: str
    """One sentence of at most `DETAIL_LIMIT` characters."""

    @property
    def lack(self) -> str:
        """What a result of success must name and this one does not, such as `named no bundle`; empty when it names all."""
        return ""

    def shortened(self, limit: int) -> Self:
        """The same result with sentences of at most `limit` bytes."""
        return self.model_copy(update={"message": cut(self.message, limit)})

    def with_fewer_lists(self) -> tuple[Self, ...]:
        """The same result with ever fewer lists, which can be long and do not tell how the attempt ended. The last has none."""
        return (self,)


class StoredComponent(_Reported):
    size_bytes: int
    """The size as it is stored, which is compressed."""
    sha256: str


class StoredBundle(_Reported):
    """A bundle that was read back and committed."""

    path: str
    """The path of the bundle, below the root of the claim."""
    size_bytes: int
    sha256: str
    database: StoredComponent
    files: StoredComponent | None = None
    """Absent if the plan names no files."""
    completed: AwareDatetime
    user_id: int | None = None
    """The user ID that wrote the bundle."""


class RetentionOutcome(_Reported):
    """What was done about older bundles. A failure in that never fails a run."""

    survivors: str | None = None
    """The fingerprints (`domain.retention.fingerprint`) of all runs whose bundles are in the folder, joined. Absent if the listing cannot be relied
    on, or if there are too many: then nothing is known about them."""
    pruned: int = 0
    removed: str | None = None
    """The fingerprints of the runs whose bundles were removed, joined. Absent if `survivors` tells that already, or if there is no room for them."""
    problem: str | None = None
    """One sentence: why nothing was removed, or not everything."""


class AuditOutcome(_Reported):
    logged: bool
    reason: Reason
    message: str


class SearchResult(Result):
    """The result of a search for the bundle of a run that was recreated."""

    bundle: StoredBundle | None = None
    """Absent if it was not found."""


class BackupResult(Result):
    bundle: StoredBundle | None = None
    """Absent if the attempt failed."""
    notes: int = 0
    """The number of notes in the manifest, such as warnings of pg_dump, files that came or went, and sockets that were left out."""
    leftovers: int = 0
    """The number of entries beside the files that a restore has left there. They are not in the bundle."""
    retention: RetentionOutcome | None = None
    """Absent if the plan has no retention, or if the run ended before it."""
    audit: AuditOutcome | None = None
    """Absent if the plan asks for no row, or if the runner could not attempt to write it."""

    @property
    def lack(self) -> str:
        return "" if self.bundle else "named no bundle"

    def shortened(self, limit: int) -> Self:
        retention, audit = self.retention, self.audit
        update = {
            "message": cut(self.message, limit),
            "retention": retention and retention.model_copy(update={"problem": cut(retention.problem, limit)}),
            "audit": audit and audit.model_copy(update={"message": cut(audit.message, limit)}),
        }
        return self.model_copy(update=update)

    def with_fewer_lists(self) -> tuple[Self, ...]:
        retention = self.retention
        if retention is None:
            return (self,)
        known = () if retention.survivors is None else (retention.model_copy(update={"removed": None}),)
        fewer = (*known, retention.model_copy(update={"survivors": None}))
        none = retention.model_copy(update={"survivors": None, "removed": None})
        return tuple(self.model_copy(update={"retention": one}) for one in (*fewer, none))


def cut(text: str | None, limit: int) -> str | None:
    """The first `limit` bytes of UTF-8, without half a character at the end."""
    return text and text.encode()[:limit].decode(errors="ignore")


def to_line(result: Result) -> bytes:
    """The result as one JSON line of at most `RESULT_LIMIT` bytes. Sentences are shortened first, then lists are left out."""
    whole, *fewer = result.with_fewer_lists()
    sentences = (whole, *(whole.shortened(limit) for limit in (384, 256, 128)))
    for shorter in (*sentences, *(one.shortened(128) for one in fewer)):
        if len(line := _line(shorter)) <= RESULT_LIMIT:
            break
    return line


def _line(result: Result) -> bytes:
    return result.model_dump_json(by_alias=True, exclude_none=True).encode()
