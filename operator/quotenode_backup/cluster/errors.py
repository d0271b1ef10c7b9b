"""What the API server can answer, as far as a caller can act on it. The client library's own errors never leave `cluster`."""

import json
from http import HTTPStatus

_PHRASES = {known.value: known.phrase for known in HTTPStatus}


class ApiError(Exception):
    """The API server did not do what it was asked for."""


class NotFound(ApiError):
    """The object is not there."""


class AlreadyExists(ApiError):
    """Somebody made an object of this name before."""


class Conflict(ApiError):
    """The object has changed since it was read. Read again and decide again."""


class Refused(ApiError):
    """Asking again will not change the answer: not allowed, invalid, or the namespace is going away."""


class NamespaceTerminating(Refused):
    """Nothing new can be made in a namespace that is going away."""


class Invalid(Refused):
    """The object itself is at fault."""


class Unreadable(ApiError):
    """What the API server holds was written by another release, in words that this one does not know."""


class Unavailable(ApiError):
    """The API server could not be reached, or asks for patience."""


class NameTaken(Exception):
    """An object that is not ours has the name of one of ours. It is never touched."""


def error_of(doing: str, status: int, body: bytes) -> ApiError:
    """The answer as an error. Of the body only the server's own sentence is kept, and cut: bodies can hold anything."""
    reason, message = _said(body)
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


def _said(body: bytes) -> tuple[str, str]:
    try:
        status = json.loads(body)
        return str(status.get("reason", "")), str(status.get("message", ""))[:300]
    except (ValueError, AttributeError):
        return "", ""
