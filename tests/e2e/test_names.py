"""Names are data: exactly the database of that name is backed up, and nothing else happens."""

import re
from collections.abc import Callable

import pytest

from tests.e2e.backups import a_backup, completed
from tests.e2e.claims import run_on
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.standin.quotenode import QuoteNode

STRANGE = {
    "quotes": """quote"node'; x=y""",
    "address": "postgres://evil/",
    "option": "-F",
    "newline": "line\nbreak",
    "63-bytes": "ブ" * 21,
}
PASSWORD = "as-strange-as-the-name"
INVENTORY = "SELECT 'database', datname FROM pg_database UNION ALL SELECT 'role', rolname FROM pg_roles ORDER BY 1, 2"


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace]) -> Namespace:
    return watched("names")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    """Its server has, for each name, a role, that role's database, and in it a table, all called so, with one row that tells which."""
    quotenode = deploy(namespace)
    for key, name in STRANGE.items():
        who = identifier(name)
        quotenode.psql(f"CREATE ROLE {who} LOGIN PASSWORD '{PASSWORD}'", database="postgres")
        quotenode.psql(f"CREATE DATABASE {who} OWNER {who}", database="postgres")
        quotenode.psql(
            f"CREATE TABLE {who} AS SELECT 'row of {key}' AS marker; ALTER TABLE {who} OWNER TO {who}", database=name
        )
    return quotenode


def identifier(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


@pytest.fixture(scope="module")
def inventory(namespace: Namespace, quotenode: QuoteNode) -> str:
    """What the server had before; then all the backups begin at once."""
    before = quotenode.psql(INVENTORY)
    for key, name in STRANGE.items():
        secret: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key}}
        database = {"name": name, "credentialsSecretRef": {"name": key}}
        namespace.apply(
            secret | {"stringData": {"username": name, "password": PASSWORD}},
            a_backup(key, database=database, files=[], pod={"runAsUser": 1000}),
        )
    return before


@pytest.mark.parametrize("key", STRANGE)
def test_exactly_the_database_of_that_name_is_in_the_bundle(
    namespace: Namespace, quotenode: QuoteNode, inventory: str, key: str
) -> None:
    status = completed(namespace, key, 180)
    path = status["destinations"][0]["path"]

    script = run_on(namespace, "quotenode-backups", f"tar xzOf {path} backup.dump | pg_restore --file=-")

    assert re.findall("^row of .*", script, re.MULTILINE) == [f"row of {key}"]
    assert f"COPY public.{identifier(STRANGE[key])} (marker) FROM stdin;" in script
    assert len(status["attempts"]) == 1
    assert quotenode.psql(INVENTORY) == inventory
