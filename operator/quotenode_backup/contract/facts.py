"""What a manifest says about the database beside its dump: what a restore has to create, copy or compare, and what the dump itself does not hold.

The names are PostgreSQL's own. A fact that could not be read is absent, and a note in the manifest says why.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Bytes = Annotated[int, Field(ge=0, le=1 << 60)]
Text = Annotated[str, Field(max_length=4096)]


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Privileges(_Fact):
    """An entry of the database's ACL."""

    grantor: Text
    grantee: Text | None = None
    """Absent for PUBLIC."""
    privileges: tuple[Text, ...]
    is_grantable: bool


class Setting(_Fact):
    """What `ALTER DATABASE … SET` or `ALTER ROLE … IN DATABASE … SET` has set."""

    name: Text
    role: Text | None = None
    """Absent if it is for every role."""
    value: Text | None = None
    """Absent for custom settings, those with a dot in their name: applications keep secrets in them."""


class Role(_Fact):
    """A role that the dump mentions, so that it has to exist before a restore."""

    name: Text
    uses: tuple[Literal["owner", "grantee", "policy"], ...]


class Extension(_Fact):
    name: Text
    version: Text
    schema_name: Text


class TableName(_Fact):
    schema_name: Text
    name: Text


class Flyway(_Fact):
    """The last versioned migration that has succeeded, according to a table flyway_schema_history."""

    schema_name: Text
    version: Text


class DatabaseFacts(_Fact):
    database_bytes: Bytes | None = None
    """By `pg_database_size`."""
    largest_index_bytes: Bytes | None = None
    owner: Text | None = None
    encoding: Text | None = None
    locale_provider: Text | None = None
    """`libc`, `icu` or `builtin`."""
    collate: Text | None = None
    ctype: Text | None = None
    locale: Text | None = None
    """Of the providers `icu` and `builtin`."""
    icu_rules: Text | None = None
    collation_version: Text | None = None
    connection_limit: int | None = None
    """-1 is no limit."""
    comment: Text | None = None
    acl: tuple[Privileges, ...] | None = None
    """Absent if nothing was ever granted or revoked, so that PostgreSQL's defaults are in force."""
    settings: tuple[Setting, ...] | None = None
    roles: tuple[Role, ...] | None = None
    """Without those that exist on every server: PostgreSQL's own, and the superuser that created the server unless it owns something."""
    extensions: tuple[Extension, ...] | None = None
    unlogged_tables: tuple[TableName, ...] | None = None
    flyway: tuple[Flyway, ...] | None = None
    """One for each schema that has such a table."""
