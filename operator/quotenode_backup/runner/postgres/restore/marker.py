"""What a database that a restore made or replaced says about itself, as JSON in its comment.

The name of a database alone proves nothing: nothing is ever dropped or swapped in that does not have our name and such a comment.
"""

from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel


class _Marked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Marker(_Marked):
    quotenode_restore: Literal[1] = 1
    """The version of this format. The name of the field tells our JSON from anybody else's."""
    state: Literal["Loading", "Complete", "Kept"]
    database: str
    """The name of the live database that the restore is for."""
    restore_uid: str
    attempt: int
    bundle_sha256: str
    """Empty for an undo."""
    oid: int = 0
    """Of the database that was loaded, from the moment it is complete."""
    postmaster_started: AwareDatetime | None = None
    """When the server was started that the load ended on."""
    has_unlogged: bool = False
    """Whether some tables are unlogged: they lose their rows if the server crashes before the swap."""
    expires: AwareDatetime | None = None
    """From when on it may be dropped. None: not by itself."""
    comment: str | None = None
    """The comment that the user gave to this database, when it was live."""

    def to_comment(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)

    def completed(self, oid: int, postmaster_started: AwareDatetime, *, has_unlogged: bool) -> Self:
        update = {"state": "Complete", "oid": oid, "postmaster_started": postmaster_started}
        return self.model_copy(update={**update, "has_unlogged": has_unlogged})


class NewerMarker(_Marked):
    """A marker that a later release wrote. It is left alone."""

    quotenode_restore: int = Field(gt=1)


def parse_marker(comment: str | None) -> Marker | NewerMarker | None:
    """None when the comment is not ours."""
    for kind in (Marker, NewerMarker):
        try:
            return kind.model_validate_json(comment or "")
        except ValidationError:
            continue
    return None
