"""A manifest is written as ever, and read only if it is one."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.contract.manifest import (
    LARGEST_RECORD,
    BundleTarget,
    CommitRecord,
    NewerFormat,
    parse_manifest,
    parse_record,
)
from tests import bundle_maker

TARGET = BundleTarget(host="db", port=5432, database="quotenode", system_identifier="7000000000000000001")
COMPLETED = datetime(2026, 3, 1, 3, 31, 5, 999_999, tzinfo=timezone(timedelta(hours=1)))
MANIFEST = bundle_maker.manifest(
    TARGET, "run-1", COMPLETED, b"dump", b"files", name="nächtlich", notes=({"path": "a", "note": "b"},), note_count=1
)
RECORD = MANIFEST.recorded("quotenode-backup-20260301-023015.tar.gz", 1234, "0" * 64)
AS_WRITTEN_BY_THE_FIRST_RELEASE = """{
  "formatVersion": 1,
  "runUid": "run-1",
  "namespace": "shop",
  "name": "n\\u00e4chtlich",
  "attempt": 1,
  "initiatedBy": "Scheduler",
  "started": "2026-03-01T02:31:05Z",
  "completed": "2026-03-01T02:31:05Z",
  "target": {
    "host": "db",
    "port": 5432,
    "database": "quotenode",
    "systemIdentifier": "7000000000000000001"
  },
  "versions": {
    "server": "17.10",
    "pgDump": "17.10"
  },
  "runner": {
    "uid": 10001,
    "gid": 10001
  },
  "database": {
    "member": "backup.dump",
    "sizeBytes": 4,
    "sha256": "SHA256_OF_DUMP"
  },
  "noteCount": 1,
  "notes": [
    {
      "path": "a",
      "note": "b"
    }
  ],
  "files": {
    "member": "files.tar.gz",
    "sizeBytes": 5,
    "sha256": "SHA256_OF_FILES",
    "files": 0,
    "folders": 0,
    "links": 0,
    "contentBytes": 0,
    "sources": [
      {
        "name": "uploads",
        "claimName": "quotenode-uploads",
        "subPath": ""
      }
    ]
  },
  "bundle": {
    "name": "quotenode-backup-20260301-023015.tar.gz",
    "sizeBytes": 1234,
    "sha256": "0000000000000000000000000000000000000000000000000000000000000000"
  }
}""".replace("SHA256_OF_DUMP", bundle_maker.sha256(b"dump")).replace("SHA256_OF_FILES", bundle_maker.sha256(b"files"))


def test_a_commit_record_is_written_byte_for_byte_as_the_first_release_wrote_it() -> None:
    assert RECORD.to_json().decode() == AS_WRITTEN_BY_THE_FIRST_RELEASE


def test_what_is_written_is_read_again() -> None:
    assert parse_record(RECORD.to_json()) == RECORD
    assert parse_manifest(MANIFEST.to_json()) == MANIFEST
    alone = bundle_maker.manifest(TARGET, "run-1", COMPLETED, b"dump")
    assert parse_manifest(alone.to_json()) == alone
    assert b"files" not in alone.to_json()


def test_fields_of_a_later_release_of_this_format_are_ignored() -> None:
    fields = json.loads(RECORD.to_json())
    fields["encryption"] = {"keys": 2}
    fields["target"]["version"] = 18
    assert parse_record(json.dumps(fields).encode()) == RECORD
    del fields["bundle"]
    assert parse_manifest(json.dumps(fields).encode()) == MANIFEST


def test_a_record_of_a_later_format_is_told_from_what_is_not_a_record() -> None:
    assert parse_record(b'{"formatVersion": 3, "runUid": "run-1", "bundle": "elsewhere"}') == NewerFormat(
        format_version=3, run_uid="run-1"
    )
    assert parse_record(b'{"formatVersion": 3}') == NewerFormat(format_version=3)


@pytest.mark.parametrize("uid", [b"null", b"7", b"true", b"{}", b"[]"])
def test_a_later_format_may_have_anything_in_the_place_of_the_uid(uid: bytes) -> None:
    content = b'{"formatVersion": 3, "runUid": ' + uid + b"}"
    assert parse_record(content) == parse_manifest(content) == NewerFormat(format_version=3)


def test_a_manifest_of_a_later_format_is_told_from_what_is_not_a_manifest() -> None:
    later = MANIFEST.to_json().replace(b'"formatVersion": 1', b'"formatVersion": 3')
    assert parse_manifest(later) == NewerFormat(format_version=3, run_uid="run-1")
    assert str(parse_manifest(later)) == "of format 3, which only a later release of this operator can read"


ABSURD: dict[str, list[Any]] = {
    "formatVersion": [0, -1, "1", 1.0, True, None, [1]],
    "runUid": ["", "x" * 64, 7, None],
    "attempt": ["1", -1],
    "initiatedBy": ["Nobody"],
    "started": ["2026-03-01T02:31:05", "yesterday", {}, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"],
    "completed": ["2026-03-01T02:31:05", None, "", 1e300],
    "target": [{}, [], "db"],
    "target.port": [0, 65_536, "5432"],
    "target.systemIdentifier": ["", "x", 7, "1" * 21],
    "versions": [[], {"server": 17}],
    "database": [None, []],
    "database.member": ["files.tar.gz", "../backup.dump"],
    "database.sizeBytes": [-1, 10**30, 1.5, "1", True],
    "database.sha256": ["", "0" * 63, "0" * 65, "z" * 64, "A" * 64, None],
    "noteCount": [-1, 10**30],
    "notes": [{}, "", [7]],
    "files": [[], "none"],
    "files.sources": [{}, "all", [7], [{"name": "a"}], [{"name": "a", "claimName": "b", "subPath": ""}] * 65],
    "bundle": [None, []],
    "bundle.name": [
        "",
        "x",
        ".tar.gz",
        "../x.tar.gz",
        "/x.tar.gz",
        "a/b.tar.gz",
        "..tar.gz",
        ".partial-x.tar.gz",
        "x.tar.gz\n",
        "a\u0000.tar.gz",
        "ü.tar.gz",
        "x" * 1_000_000 + ".tar.gz",
        7,
        None,
    ],
    "bundle.sizeBytes": [-1, 10**30, "1234", 2**60 + 1],
    "bundle.sha256": ["", "x" * 64],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in ABSURD.items() for value in values])
def test_a_record_with_a_value_that_no_backup_has_is_not_a_record(field: str, value: object) -> None:
    record = json.loads(RECORD.to_json())
    *above, last = field.split(".")
    place = record
    for name in above:
        place = place[name]
    place[last] = value
    assert parse_record(json.dumps(record).encode()) is None
    del place[last]
    assert isinstance(parse_record(json.dumps(record).encode()), CommitRecord) == (field == "files")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b"NaN",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"runUid": "\\ud800"}',
        b'{"formatVersion": ' + b"9" * 5000 + b"}",
        RECORD.to_json()[:-1],
        RECORD.to_json() + b" " * LARGEST_RECORD,
    ],
)
def test_what_is_not_a_json_object_is_neither_manifest_nor_record(content: bytes) -> None:
    assert parse_record(content) is None
    assert parse_manifest(content) is None


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_content_makes_the_parser_raise(content: bytes) -> None:
    assert parse_record(content) is None


def test_a_moment_is_kept_in_whole_seconds_of_utc() -> None:
    assert RECORD.completed == datetime(2026, 3, 1, 2, 31, 5, tzinfo=UTC)
