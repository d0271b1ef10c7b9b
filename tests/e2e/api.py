"""Reads and writes over a kept connection to the API server: a kubectl for each would take some tenths of a second of a processor."""

import base64
import http.client
import json
import ssl
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.e2e.waiting import pause

Json = dict[str, Any]


class Refused(Exception):
    """The cluster said no. The message is kubectl's or the API server's own."""


_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_TIMEOUT_SECONDS = 120
_ASKED_AGAIN_AT_MOST = 10
_kept = threading.local()


def get(namespace: str, kind: str, name: str) -> Json | None:
    """None when it is not there."""
    found = _answer(f"{_path(kind, namespace)}/{quote(name)}")
    return _shown(found) if found else None


def items(namespace: str, kind: str, selector: str, fields: str) -> list[Json]:
    asked = {"labelSelector": selector, "fieldSelector": fields}
    path = _path(kind, namespace)
    listed = _answer(f"{path}?{urlencode({name: value for name, value in asked.items() if value})}")
    if listed is None:
        raise Refused(f"GET {path}: not found")
    named = {"apiVersion": listed["apiVersion"], "kind": listed["kind"].removesuffix("List")}
    return [_shown(named | item) for item in listed["items"]]


def _shown(body: Json) -> Json:
    """As kubectl shows it."""
    body["metadata"].pop("managedFields", None)
    return body


def apply(namespace: str, body: Json) -> None:
    """As `kubectl apply --server-side --force-conflicts` does, a field that the API does not know being an error."""
    place = _path(f"{body['apiVersion']}/{body['kind']}", namespace)
    options = urlencode({"fieldManager": "tests", "force": "true", "fieldValidation": "Strict"})
    path = f"{place}/{quote(body['metadata']['name'])}?{options}"
    _exchanged(Request("PATCH", path, "application/apply-patch+yaml", json.dumps(body)))


def delete(namespace: str, kind: str, name: str) -> None:
    """Returns at once. What is not there need not go."""
    _exchanged(Request("DELETE", f"{_path(kind, namespace)}/{quote(name)}"))


@dataclass(frozen=True)
class Request:
    """One that may be made twice."""

    method: str
    path: str
    content_type: str = "application/json"
    body: str | None = None
    accept: str = "application/json"

    def over(self, connection: http.client.HTTPSConnection) -> "Answer":
        headers = {"Accept": self.accept, "Content-Type": self.content_type}
        connection.request(self.method, self.path, self.body, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), answer.getheader("Retry-After", ""))


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    retry_after: str

    @property
    def wait_seconds(self) -> int | None:
        """How long the server, which is busy or starting, asks to wait before the request is made again; None when it has answered it."""
        is_busy = self.status == http.client.TOO_MANY_REQUESTS or self.status >= 500
        return int(self.retry_after) if is_busy and self.retry_after.isdigit() else None


def _answer(path: str, accept: str = "application/json") -> Json | None:
    return _exchanged(Request("GET", path, accept=accept))


def _exchanged(request: Request) -> Json | None:
    """The answer; None when what was asked for is not there."""
    answer = _sent(request)
    if answer.status == http.client.NOT_FOUND and request.method != "PATCH":
        return None
    if not 200 <= answer.status < 300:
        raise Refused(f"{request.method} {request.path}: {answer.body.decode(errors='replace')}")
    found: Json = json.loads(answer.body)
    return found


def _sent(request: Request) -> Answer:
    """A server that asks for it is asked again later, and as often as kubectl does."""
    answer = _sent_once(request)
    for _ in range(_ASKED_AGAIN_AT_MOST):
        if answer.wait_seconds is None:
            break
        pause(answer.wait_seconds)
        answer = _sent_once(request)
    return answer


def _sent_once(request: Request) -> Answer:
    """The server may have closed a connection that nobody used for a while: then the request is made over a new one."""
    connection = _connection()
    try:
        try:
            return request.over(connection)
        except (ConnectionError, ssl.SSLError, http.client.HTTPException):
            connection.close()  # the next request opens it again
            return request.over(connection)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise Refused(f"{request.method} {request.path}: {error!r}") from error


def _connection() -> http.client.HTTPSConnection:
    """One for each thread."""
    if not hasattr(_kept, "connection"):
        server, context = _access()
        _kept.connection = http.client.HTTPSConnection(server, timeout=_TIMEOUT_SECONDS, context=context)
    found: http.client.HTTPSConnection = _kept.connection
    return found


@cache
def _access() -> tuple[str, ssl.SSLContext]:
    """Host and port of the API server, and what is needed to trust it and to be trusted: as kubectl has it from its configuration."""
    shown = ("kubectl", "config", "view", "--raw", "--minify", "--flatten", "--output=json")
    config = json.loads(subprocess.run(shown, check=True, capture_output=True).stdout)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]))
    with tempfile.TemporaryDirectory() as folder:  # the ssl module takes a key from a file only
        pair = Path(folder) / "client.pem"
        pair.touch(mode=0o600)
        pair.write_text(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
        context.load_cert_chain(pair)
    return urlsplit(cluster["server"]).netloc, context


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def _path(kind: str, namespace: str) -> str:
    """Where the resources of this kind are, by any name that kubectl takes, or by apiVersion and kind as a manifest has them."""
    found = _served().get(kind)
    if found is None:  # a CRD can have been installed since
        _served.cache_clear()
        found = _served().get(kind)
    if found is None:
        raise Refused(f"the server doesn't have a resource type {kind}")
    prefix, plural, is_namespaced = found
    return f"{prefix}/namespaces/{namespace}/{plural}" if is_namespaced else f"{prefix}/{plural}"


@cache
def _served() -> dict[str, tuple[str, str, bool]]:
    """By each of its names, where a resource is: the path of its group and version, its plural, and whether namespaces have it."""
    found: dict[str, tuple[str, str, bool]] = {}
    for root in ("/api", "/apis"):
        groups: Any = (_answer(root, _DISCOVERY) or {}).get("items", [])
        for group in groups:
            for served in group["versions"]:
                for one in served.get("resources", []):
                    place = _place(root, group["metadata"].get("name", ""), served["version"], one)
                    for name in _names(group["metadata"].get("name", ""), served["version"], one):
                        found.setdefault(name, place)
    return found


def _place(root: str, group: str, version: str, resource: Json) -> tuple[str, str, bool]:
    prefix = "/".join(part for part in (root, group, version) if part)
    return prefix, resource["resource"], resource["scope"] == "Namespaced"


def _names(group: str, version: str, resource: Json) -> list[str]:
    plural = resource["resource"]
    whole = [f"{plural}.{group}", f"{plural}.{version}.{group}"] if group else []
    singular = [resource["singularResource"]] if resource.get("singularResource") else []
    as_written = f"{group}/{version}/{resource['responseKind']['kind']}".removeprefix("/")
    return [plural, *singular, *resource.get("shortNames", []), *whole, as_written]
