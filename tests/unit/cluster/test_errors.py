"""Which error each answer of the API server becomes."""

import json

import pytest

from quotenode_backup.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
    error_of,
)


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        *((code, "Forbidden", Refused) for code in (403, 405, 413, 415)),
        *((code, "Invalid", Invalid) for code in (400, 422)),
        *((code, "", Unavailable) for code in (408, 410, 429, 500, 502, 503, 504)),
    ],
)
def test_each_status_is_one_kind_of_error(status: int, reason: str, kind: type[ApiError]) -> None:
    body = json.dumps({"reason": reason, "message": "the server's words"}).encode()
    error = error_of("GET /x", status, body)
    assert type(error) is kind
    assert str(error) == f"GET /x: the server's words ({status})"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff\xfe"])
def test_an_answer_that_is_no_status_is_named_by_its_number(body: bytes) -> None:
    assert str(error_of("GET /x", 503, body)) == "GET /x: Service Unavailable (503)"


def test_a_number_without_a_name_is_an_error_like_any_other() -> None:
    assert isinstance(error_of("GET /x", 599, b""), Unavailable)


def test_a_long_answer_is_cut() -> None:
    assert len(str(error_of("GET /x", 500, json.dumps({"message": "a" * 9999}).encode()))) < 400
