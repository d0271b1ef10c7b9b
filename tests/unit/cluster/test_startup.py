"""Before the first watch: what is missing is named, with the way to get it."""

import asyncio
from typing import Any

import pytest

from quotenode_backup.cluster.errors import NotFound
from quotenode_backup.cluster.gateway import NEEDED
from quotenode_backup.cluster.startup import NotReady, require_resource, require_rights


class Server:
    """An API server that serves some resources and grants all but some verbs."""

    def __init__(self, served: list[str] | None = None, refused: tuple[str, str] = ("", "")) -> None:
        self._served = served
        self._refused = refused
        self.asked: list[dict[str, str]] = []

    async def read(self, path: str) -> Any:
        if self._served is None:
            raise NotFound(path)
        return {"resources": [{"name": name} for name in self._served]}

    async def ask(self, _: str, review: Any) -> Any:
        asked = review["spec"]["resourceAttributes"]
        self.asked.append(asked)
        return {"status": {"allowed": (asked["verb"], asked["resource"]) != self._refused}}


def test_an_absent_crd_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(NotReady, match=r"does not know backup\.quotenode\.io/v1beta1: install the CRDs"):
        asyncio.run(require_resource(Server()))  # type: ignore[arg-type]


def test_a_crd_without_its_status_is_of_another_release() -> None:
    with pytest.raises(NotReady, match=r"has no quotenodebackups/status: install this release's CRDs"):
        asyncio.run(require_resource(Server(["quotenodebackups"])))  # type: ignore[arg-type]


def test_a_whole_crd_will_do() -> None:
    asyncio.run(require_resource(Server(["quotenodebackups", "quotenodebackups/status"])))  # type: ignore[arg-type]


def test_a_missing_verb_is_named_with_its_resource_and_namespace() -> None:
    server = Server(refused=("patch", "jobs"))
    with pytest.raises(NotReady, match=r"may not: patch jobs\.batch in shop; patch jobs\.batch in stock\. Its Role"):
        asyncio.run(require_rights(server, ["shop", "stock"]))  # type: ignore[arg-type]


def test_each_verb_is_asked_for_once_in_each_scope_and_the_status_as_a_subresource() -> None:
    server = Server()
    asyncio.run(require_rights(server, [None]))  # type: ignore[arg-type]
    assert len(server.asked) == sum(len(verbs) for verbs in NEEDED.values())
    assert all("namespace" not in asked for asked in server.asked)
    assert {asked["subresource"] for asked in server.asked if asked["verb"] == "patch"} == {"status", "scale", ""}
