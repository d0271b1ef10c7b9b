"""Which tables backup_logs may be: by type, room and constraint of each column."""

from dataclasses import replace
from typing import Any

import pytest

from quotenode_backup.runner.postgres.backup_logs_schema import (
    COLUMNS,
    Column,
    Table,
    TableInfo,
    Unfit,
    faults,
    require_visible_code,
)

TYPES = {"id": "uuid", "size_bytes": "int8", "started_at": "timestamptz", "completed_at": "timestamptz"}
USUAL = {name: Column(name, TYPES.get(name, "text")) for name in COLUMNS}


def with_column(name: str, **changes: Any) -> dict[str, Column]:
    return USUAL | {name: replace(USUAL.get(name, Column(name, "text")), **changes)}


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("id", {"type": "int8"}, "column id is of type int8, not text, uuid, varchar: change its type"),
        ("id", {"type": "varchar", "length": 35}, "column id has room for 35 characters, and 36 are needed: widen it"),
        ("status", {"type": "varchar", "length": 8}, "column status has room for 8 characters, and 9 are needed"),
        ("status", {"type": "state", "labels": frozenset({"RUNNING"})}, "an enum without COMPLETED, FAILED: add that"),
        ("checksum_sha256", {"type": "varchar", "length": 63}, "room for 63 characters, and 64 are needed"),
        ("checksum_sha256", {"type": "state", "labels": frozenset({"a"})}, "column checksum_sha256 is of type state"),
        (
            "completed_at",
            {"is_not_null": True},
            "column completed_at is NOT NULL, and not every run has a value for it",
        ),
        ("tenant", {"is_not_null": True}, "column tenant is NOT NULL without a default, and only QuoteNode knows"),
    ],
)
def test_a_column_that_does_not_fit_our_rows_is_named(name: str, changes: dict[str, Any], words: str) -> None:
    [(fault, remedy)] = faults(with_column(name, **changes))
    assert words in f"{fault}: {remedy}"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("id", {"type": "varchar", "length": 36}),
        ("status", {"type": "varchar", "length": 9}),
        ("status", {"type": "state", "labels": frozenset({"RUNNING", "COMPLETED", "FAILED", "PAUSED"})}),
        ("checksum_sha256", {"type": "bpchar", "length": 64}),
        ("started_at", {"is_not_null": True}),
        ("tenant", {"is_not_null": True, "has_default": True}),
        ("tenant", {"type": "int8"}),
    ],
)
def test_a_column_that_just_fits_our_rows_is_accepted(name: str, changes: dict[str, Any]) -> None:
    assert list(faults(with_column(name, **changes))) == []


def test_missing_columns_are_named_together_and_nothing_else_is() -> None:
    left = {name: replace(column, is_not_null=True) for name, column in USUAL.items() if name not in {"id", "status"}}
    assert list(faults(left)) == [("it lacks column id, status", "let QuoteNode's migrations add it")]


PG_13, PG_14 = 130_022, 140_000
OTHERS = TableInfo(1, "public.backup_logs", "r", True, None, "quotenode", is_owner_super=False, is_owned=False)
SUPERUSERS = replace(OTHERS, owner="postgres", is_owner_super=True)


@pytest.mark.parametrize(("about", "remedy"), [(OTHERS, "put the table's owner, role quotenode"), (SUPERUSERS, "make")])
def test_on_an_old_server_a_role_that_does_not_own_the_table_is_refused(about: TableInfo, remedy: str) -> None:
    with pytest.raises(Unfit, match=f"only since PostgreSQL 14 .*: .*{remedy}"):
        require_visible_code(about, PG_13)
    require_visible_code(about, PG_14)


def test_on_an_old_server_a_superuser_writes_into_a_table_of_its_own() -> None:
    """Only triggers could be somebody else's there, and every server can tell of those."""
    require_visible_code(replace(SUPERUSERS, is_owned=True), PG_13)


def row(**changes: Any) -> dict[str, Any]:
    return {"destination": "x" * 100, "size_bytes": 1} | changes


def test_a_size_that_the_column_cannot_hold_is_left_out() -> None:
    for kind, size, written in (("int4", 2**31 - 1, 2**31 - 1), ("int4", 2**31, None), ("int8", 2**31, 2**31)):
        values = row(size_bytes=size)
        Table("t", with_column("size_bytes", type=kind)).require_room(values)
        assert values["size_bytes"] == written


@pytest.mark.parametrize(("url", "needed"), [("x" * 100, 100), ("x" * 99 + "/", 164)])
def test_a_destination_needs_room_for_the_name_of_the_bundle_to_come(url: str, needed: int) -> None:
    Table("t", with_column("destination", length=needed)).require_room(row(destination=url))
    with pytest.raises(Unfit, match=f"room for {needed - 1} characters, and {needed} are needed"):
        Table("t", with_column("destination", length=needed - 1)).require_room(row(destination=url))


def test_a_sentence_is_cut_to_the_column() -> None:
    assert Table("t", with_column("error_message", length=3)).truncated("error") == "err"
    assert Table("t", USUAL).truncated("error") == "error"
