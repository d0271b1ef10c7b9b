"""What a bundle says about itself.

The manifest is a member of the bundle. The commit record is a file beside the bundle. It repeats the manifest and adds the name, the size and the hash
of the bundle. Other programs may write into the claim too, so both are read strictly: a file of another shape, or with values that no backup has, is
neither. Only fields that are not known are ignored, since a later release of the same format may add some.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from quotenode_backup.contract.facts import DatabaseFacts
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.domain import bundle as shape

LARGEST_RECORD = 1 << 20
"""The most bytes that a manifest or a commit record may have."""
MOST_SOURCES = 64


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_the_second(moment: datetime) -> datetime:
    """A manifest has times in whole seconds."""
    try:
        return moment.astimezone(UTC).replace(microsecond=0)
    except OverflowError as error:
        raise ValueError("outside the calendar") from error


Moment = Annotated[AwareDatetime, AfterValidator(to_the_second), PlainSerializer(stamp, return_type=str)]
Number = Annotated[int, Field(ge=0, le=1 << 60)]
Text = Annotated[str, Field(max_length=4096)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
BundleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.tar\.gz$", max_length=200)]
"""A file name that leaves room for a suffix. It does not begin with a dot, so it is never the name of a partial file or of a record that is marked for
removal."""


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class BundleTarget(_Described):
    """The database that was backed up."""

    host: Text
    port: Annotated[int, Field(ge=1, le=65_535)]
    database: Text
    system_identifier: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
    """The identifier that PostgreSQL gave the server. It is a string, because many JSON parsers cannot represent such a large number."""


class RunnerUser(_Described):
    uid: Number
    gid: Number


class StoredMember(_Described):
    """A member of the bundle's tar."""

    member: str
    size_bytes: Number
    sha256: Sha256


class TablesMember(StoredMember):
    """The list of the tables in the dump, each with its number of rows and their hash."""

    member: Literal["tables.json.gz"]
    tables: Number
    rows: Number
    """Of all tables together."""


class DatabaseMember(StoredMember):
    member: Literal["backup.dump"]
    tables: TablesMember | None = None
    """Absent in bundles of the first format, and if the rows could not be counted."""
    facts: DatabaseFacts | None = None
    """Absent in bundles of the first format."""


class FilesSource(_Described):
    name: Text
    claim_name: Text
    sub_path: Text


class IndexMember(StoredMember):
    """Its lines are `contract.index.IndexEntry`."""

    member: Literal["files.index.zst"]


class FilesMember(StoredMember):
    member: Literal["files.tar.gz"]
    files: Number
    folders: Number
    links: Number
    content_bytes: Number
    sources: Annotated[tuple[FilesSource, ...], Field(max_length=MOST_SOURCES)]
    leftovers: Number | None = None
    """Entries that a restore had left beside the files. They are not in the archive. Absent in format 1."""
    index: IndexMember | None = None
    """Absent in format 1."""


class BundleManifest(_Described):
    """`manifest.json`. The fields have the order that they have in the file."""

    format_version: Annotated[int, Field(ge=1, le=shape.FORMAT_VERSION)]
    run_uid: Annotated[str, Field(min_length=1, max_length=63)]
    namespace: Text
    name: Text
    attempt: Number
    initiated_by: InitiatedBy
    started: Moment
    completed: Moment
    target: BundleTarget
    versions: dict[str, Text]
    runner: RunnerUser
    database: DatabaseMember
    note_count: Number
    notes: tuple[dict[str, Text], ...]
    files: FilesMember | None = None

    @property
    def holds(self) -> frozenset[str]:
        """The names of the volumes in the bundle, beside the database."""
        return frozenset(source.name for source in self.files.sources) if self.files else frozenset()

    @property
    def stored_members(self) -> tuple[StoredMember, ...]:
        """Those that hold what was backed up, and what a restore knows about it."""
        database, files = self.database, self.files
        members = (database, database.tables, files, files.index if files else None)
        return tuple(member for member in members if member)

    def is_of(self, namespace: str, target: BundleTarget) -> bool:
        return (self.namespace, self.target) == (namespace, target)

    def agrees_with(self, other: "BundleManifest") -> bool:
        """Whether both say the same about the content of the bundle. Either may be a commit record."""
        return all(getattr(self, field) == getattr(other, field) for field in BundleManifest.model_fields)

    def recorded(self, name: str, size_bytes: int, sha256: str) -> "CommitRecord":
        bundle = RecordedBundle(name=name, size_bytes=size_bytes, sha256=sha256)
        fields = {field: getattr(self, field) for field in BundleManifest.model_fields}
        return CommitRecord(**fields, bundle=bundle)

    def to_json(self) -> bytes:
        return json.dumps(self.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2).encode()


class RecordedBundle(_Described):
    name: BundleName
    size_bytes: Number
    sha256: Sha256


class CommitRecord(BundleManifest):
    """`<bundle>.manifest.json`: the manifest, and the bundle that it describes."""

    bundle: RecordedBundle

    def renamed(self, name: str) -> "CommitRecord":
        return self.model_copy(update={"bundle": self.bundle.model_copy(update={"name": name})})


class NewerFormat(_Described):
    """A manifest or a commit record of a format that this release cannot read. A later release wrote it before somebody went back to this one."""

    format_version: Annotated[int, Field(gt=shape.FORMAT_VERSION)]
    run_uid: Annotated[str, BeforeValidator(lambda found: found if isinstance(found, str) else "")] = ""
    """Empty if that format has no such text: only the version decides whether something is of a later format."""

    def __str__(self) -> str:
        return f"of format {self.format_version}, which only a later release of this operator can read"


Described = TypeVar("Described", bound=_Described)


def parse_manifest(content: bytes) -> BundleManifest | NewerFormat | None:
    """None when it is not a manifest."""
    return _parsed(BundleManifest, content) or _parsed(NewerFormat, content)


def parse_record(content: bytes) -> CommitRecord | NewerFormat | None:
    """None when it is not a commit record."""
    return _parsed(CommitRecord, content) or _parsed(NewerFormat, content)


def _parsed(kind: type[Described], content: bytes) -> Described | None:
    try:
        return kind.model_validate_json(content, strict=True) if len(content) <= LARGEST_RECORD else None
    except ValidationError:
        return None
