"""HTTP to the API server: each request returns the answer as plain JSON.

`kubernetes.aio` does login, token renewal and TLS. Its typed models are not used: they take most of the library's
memory, and the operator reads only a few fields, which `parsing` parses.
"""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client import Configuration as Configuration  # for modules that may not import the library
from kubernetes.aio.config import load_incluster_config, load_kube_config

from quotenode_backup.cluster.crash_point import CrashPoint
from quotenode_backup.cluster.errors import Unavailable, error_of

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
REQUEST_TIMEOUT_SECONDS = 30
PAGE_SIZE = 500
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def _in_cluster() -> bool:
    return _SERVICE_ACCOUNT.exists()


async def configuration() -> Configuration:
    """The API server's address and our credentials: the pod's ServiceAccount, else the kubeconfig."""
    found = Configuration()
    if _in_cluster():
        load_incluster_config(client_configuration=found)
    else:
        await load_kube_config(client_configuration=found)
    return found


class Api(Protocol):
    """The requests that the rest of this package makes."""

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Json: ...

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Json]: ...

    async def write(
        self, method: str, path: str, body: Json | None = None, content_type: str = "application/json"
    ) -> Json: ...


class ReviewApi(Api, Protocol):
    """The same, with access reviews."""

    async def ask(self, path: str, body: Json) -> Json: ...


class Connection:
    def __init__(self, config: Configuration, crash_point: CrashPoint) -> None:
        self._client = ApiClient(config)
        self._crash_point = crash_point

    async def close(self) -> None:
        await self._client.close()

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        return await self._request("GET", path, query=query)

    async def pages(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Json]:
        """The pages of a list. Together they hold the whole collection at one moment."""
        asked = {"limit": str(PAGE_SIZE), **(query or {})}
        while True:
            page = await self.read(path, asked)
            yield page
            token = page["metadata"].get("continue")
            if not token:
                return
            asked = {**asked, "continue": token}

    async def write(
        self, method: str, path: str, body: Json | None = None, content_type: str = "application/json"
    ) -> Json:
        numbers = self._crash_point.before(method, path)
        try:
            return await self._request(method, path, body=body, content_type=content_type)
        finally:
            self._crash_point.after(numbers)

    async def ask(self, path: str, body: Json) -> Json:
        """A POST that changes nothing, such as an access review."""
        return await self._request("POST", path, body=body)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        _, url, headers, sent, _ = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = await self._client.call_api(method, url, headers, sent, _request_timeout=REQUEST_TIMEOUT_SECONDS)
            answer = await response.read()
        except (TimeoutError, aiohttp.ClientError) as exc:
            raise Unavailable(f"{method} {path}: {type(exc).__name__}") from exc
        if response.status >= 400:
            raise error_of(f"{method} {path}", response.status, answer)
        return json.loads(answer)  # type: ignore[no-any-return] # every answer of the API server is an object


async def each_item(connection: Api, path: str, query: Mapping[str, str]) -> AsyncIterator[Json]:
    """Every item of a collection, fetched page by page."""
    async for page in connection.pages(path, query):
        for item in page["items"]:
            yield item


def watching_session(config: Configuration, connections: int) -> aiohttp.ClientSession:
    """A session for kopf's watch streams. Each request gets the current token, so that its renewal drops no stream."""

    async def with_token(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
        token = await config.get_api_key_with_prefix("BearerToken")
        if token:
            request.headers["Authorization"] = token
        return await handler(request)  # type: ignore[no-any-return] # aiohttp's own handler

    tls = ApiClient(config).rest_client.ssl_context
    connector = aiohttp.TCPConnector(ssl=tls, limit=connections, keepalive_timeout=30)
    return aiohttp.ClientSession(connector=connector, middlewares=(with_token,), trust_env=False)
