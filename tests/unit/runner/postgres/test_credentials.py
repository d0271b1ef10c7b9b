from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.credentials import (
    escaped_for_password_file,
    read_credentials,
    require_ca,
    write_password_file,
)
from quotenode_backup.runner.process.mounts import Mounts
from tests.unit.fakes.site import make_mounts, make_plan, write_secret

DATABASE = make_plan().database


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return make_mounts(tmp_path)


def refused(mounts: Mounts) -> str:
    with pytest.raises(RunFailed) as failure:
        read_credentials(mounts, DATABASE)
    assert failure.value.reason is Reason.SECRET_MISSING
    return failure.value.message


def test_one_newline_at_the_end_is_not_part_of_a_value(mounts: Mounts) -> None:
    write_secret(mounts, b"app\n", b" pass \n\n")
    found = read_credentials(mounts, DATABASE)
    assert (found.username, found.password) == ("app", " pass \n")


def test_a_password_is_not_shown_by_accident(mounts: Mounts) -> None:
    write_secret(mounts, password=b"canary")
    assert "canary" not in repr(read_credentials(mounts, DATABASE))


def test_a_missing_secret_is_named_with_both_keys(mounts: Mounts) -> None:
    assert "Secret quotenode-db" in refused(mounts)
    assert "key user nor key pass" in refused(mounts)


def test_a_missing_key_is_named(mounts: Mounts) -> None:
    write_secret(mounts)
    (mounts.database_secret / "password").unlink()
    assert "has no key pass:" in refused(mounts)


@pytest.mark.parametrize("key", ["username", "password"])
def test_a_key_that_cannot_be_read_is_named(mounts: Mounts, key: str) -> None:
    write_secret(mounts)
    (mounts.database_secret / key).unlink()
    (mounts.database_secret / key).mkdir()
    assert f"cannot be read under key {key[:4]} (Is a directory)" in refused(mounts)


@pytest.mark.parametrize(("value", "words"), [(b"", "empty"), (b"\n", "empty"), (b"\xff", "not UTF-8")])
def test_a_username_that_is_empty_or_not_utf_8_is_refused(mounts: Mounts, value: bytes, words: str) -> None:
    write_secret(mounts, username=value)
    assert words in refused(mounts)


def test_the_password_file_is_for_its_owner_alone(mounts: Mounts) -> None:
    path = write_password_file(mounts, DATABASE, "a:b\\c")
    assert path.read_text() == "*:*:*:*:a\\:b\\\\c\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert write_password_file(mounts, DATABASE, "again").read_text() == "*:*:*:*:again\n"


def test_a_password_of_two_lines_is_refused_with_a_reason(mounts: Mounts) -> None:
    with pytest.raises(RunFailed, match="more than one line"):
        write_password_file(mounts, DATABASE, "two\nlines")


def test_a_password_file_that_cannot_be_written_is_named(mounts: Mounts) -> None:
    mounts.private.rmdir()
    with pytest.raises(RunFailed, match="pgpass cannot be written into the memory of the pod: No such file") as failure:
        write_password_file(mounts, DATABASE, "secret")
    assert failure.value.reason is Reason.IO_ERROR


@given(st.text(st.characters(exclude_characters="\n\0")))
def test_an_escaped_password_is_read_as_it_was(password: str) -> None:
    escaped = escaped_for_password_file(password)
    read, characters = "", iter(escaped)
    for character in characters:
        assert character != ":"
        read += next(characters) if character == "\\" else character
    assert read == password


def test_a_ca_certificate_is_required_only_if_the_resource_names_one(mounts: Mounts) -> None:
    assert require_ca(mounts, DATABASE) is None
    named = DATABASE.model_copy(update={"ca_secret": "quotenode-ca", "ca_key": "ca.crt"})
    with pytest.raises(RunFailed, match="quotenode-ca"):
        require_ca(mounts, named)
    mounts.ca_file.parent.mkdir(parents=True)
    mounts.ca_file.touch()
    assert require_ca(mounts, named) == mounts.ca_file
