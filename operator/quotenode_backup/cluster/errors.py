"""The API server's errors, by what a caller can do about them. The client library's own never leave `cluster`."""

import json
from http import HTTPStatus

_PHRASES = {known.value: known.phrase for known in HTTPStatus}


class ApiError(Exception):
    """The API server did not do what was requested."""


class NotFound(ApiError):
    """The object does not exist."""


class AlreadyExists(ApiError):
    """An object of this name exists already."""


class Conflict(ApiError):
    """The object has changed since it was read, so the caller has to read it again and decide again."""


class Refused(ApiError):
    """A retry alone does not help: the request is forbidden or invalid, or the namespace is terminating."""


class NamespaceTerminating(Refused):
    """Nothing can be created in a namespace that is terminating."""


class Invalid(Refused):
    """The object itself is invalid."""


class Unreadable(ApiError):
    """The object was written by another release, with fields or values that this release does not know."""


class Unavailable(ApiError):
    """The API server could not be reached, or asks the client to try again later."""


class NameTaken(Exception):
    """An object that is not ours has the name that ours would have. It is never touched."""


def error_of(doing: str, status: int, body: bytes) -> ApiError:
    """The answer as an error. Of the body only the server's message is kept, shortened: a body can hold anything."""
    reason, message = _reason_and_message(body)
    sentence = f"{doing}: {message or _PHRASES.get(status, 'no such answer is known')} ({status})"
    if _is_terminating(body):
        return NamespaceTerminating(sentence)
    match status:
        case 404:
            return NotFound(sentence)
        case 409:
            return AlreadyExists(sentence) if reason == "AlreadyExists" else Conflict(sentence)
        case 400 | 422:
            return Invalid(sentence)
        case 403 | 405 | 413 | 415:
            return Refused(sentence)
    return Unavailable(sentence)


def _is_terminating(body: bytes) -> bool:
    try:
        causes = json.loads(body)["details"]["causes"]
        return any(cause["reason"] == "NamespaceTerminating" for cause in causes)
    except (ValueError, KeyError, TypeError):
        return False


def _reason_and_message(body: bytes) -> tuple[str, str]:
    try:
        status = json.loads(body)
        return str(status.get("reason", "")), str(status.get("message", ""))[:300]
    except (ValueError, AttributeError):
        return "", ""
