"""The checks before the first watch name what is missing and how to install it."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from quotenode_backup.cluster.errors import NotFound
from quotenode_backup.cluster.permissions import NEEDED
from quotenode_backup.cluster.startup import NotReady, require_resource, served, until_granted

BACKUPS = ["quotenodebackups", "quotenodebackups/status"]
RESTORES = ["quotenoderestores", "quotenoderestores/status"]


class Server:
    """An API server that serves some resources and grants all but some verbs."""

    def __init__(
        self,
        served: list[str] | None = None,
        refused: tuple[str, str] = ("", ""),
        within: tuple[str, ...] = (),
        until: float = math.inf,
    ) -> None:
        """`refused`: verb and resource that are refused, in these namespaces or everywhere, `until` so many were asked."""
        self._served = served
        self._refused = refused
        self._within = within
        self._until = until
        self.asked: list[dict[str, str]] = []

    async def pages(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        raise AssertionError(f"{path} is listed, with {query}")
        yield

    async def write(self, method: str, path: str, body: Any = None, content_type: str = "") -> Any:
        raise AssertionError(f"{method} {path}: something is written, {body} as {content_type!r}")

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        if self._served is None:
            raise NotFound(f"{path} {query}")
        return {"resources": [{"name": name} for name in self._served]}

    async def ask(self, path: str, body: Any) -> Any:
        assert path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        asked = body["spec"]["resourceAttributes"]
        self.asked.append(asked)
        is_here = not self._within or asked.get("namespace") in self._within
        is_refused = is_here and len(self.asked) <= self._until and (asked["verb"], asked["resource"]) == self._refused
        return {"status": {"allowed": not is_refused}}


def test_an_absent_crd_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(NotReady, match=r"does not know backup\.quotenode\.io/v1beta1: install the CRDs"):
        asyncio.run(require_resource(Server()))


def test_a_crd_without_its_status_is_of_another_release() -> None:
    with pytest.raises(NotReady, match=r"has no quotenodebackups/status: install this release's CRDs"):
        asyncio.run(require_resource(Server(["quotenodebackups", *RESTORES])))


def test_an_earlier_release_has_no_crd_of_restores() -> None:
    with pytest.raises(NotReady, match=r"has no quotenoderestores, quotenoderestores/status: install this"):
        asyncio.run(require_resource(Server(BACKUPS)))


def test_a_crd_with_its_status_is_accepted() -> None:
    asyncio.run(require_resource(Server([*BACKUPS, *RESTORES])))


def test_a_missing_verb_is_named_with_its_resource_and_namespace() -> None:
    server = Server(refused=("patch", "jobs"))
    with pytest.raises(NotReady, match=r"may not: patch jobs\.batch in shop; patch jobs\.batch in stock\. Its Role"):
        asyncio.run(served(server, ["shop", "stock"]))


def test_a_namespace_without_a_right_is_left_out_and_the_others_are_served(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(refused=("patch", "jobs"), within=("stock",))
    assert asyncio.run(served(server, ["shop", "stock"])) == ["shop"]
    assert "Not served, the operator's ServiceAccount may not: patch jobs.batch in stock." in caplog.text


def test_what_was_left_out_is_waited_for() -> None:
    server = Server(refused=("patch", "jobs"), within=("stock",), until=100)
    asyncio.run(until_granted(server, ["stock"], 0.01))
    assert len(server.asked) > 100


def test_each_verb_is_asked_for_once_in_each_scope_and_the_status_as_a_subresource() -> None:
    server = Server()
    asyncio.run(served(server, [None]))
    assert len(server.asked) == sum(len(verbs) for verbs in NEEDED.values())
    assert all("namespace" not in asked for asked in server.asked)
    assert {asked["subresource"] for asked in server.asked if asked["verb"] == "patch"} == {"status", "scale", ""}
