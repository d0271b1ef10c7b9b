"""What stays known of a finished run when its status is lost: backup tools and `kubectl replace` keep annotations, and drop a status."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from quotenode_backup.api.backup_status import Sha256
from quotenode_backup.api.conditions import Phase, Word


class MarkedBundle(BaseModel):
    """The bundle of a completed run, and where it was stored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    checksum: Sha256
    size_bytes: int
    claim_name: Annotated[str, StringConstraints(max_length=253)]
    path: Annotated[str, StringConstraints(max_length=1024)]
    """Below the root of the claim."""
    user_id: int | None = None
    """The user id that wrote it."""


class FinishedMark(BaseModel):
    """How a run ended, as its annotation says. Fields of another release are passed over."""

    model_config = MarkedBundle.model_config

    name: Word
    """Of the resource: a manifest that is copied under another name is to be a new backup."""
    uid: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    """The UID that the resource had when it finished. The commit record of its bundle has the same."""
    phase: Literal[Phase.COMPLETED, Phase.FAILED]
    reason: Word
    start_time: AwareDatetime | None = None
    completion_time: AwareDatetime
    bundle: MarkedBundle | None = None
    """Absent for a failed run."""
