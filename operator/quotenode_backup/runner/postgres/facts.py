"""Reads the facts about a database, in the transaction whose snapshot pg_dump uses, so that they agree with the dump.

No backup fails for a fact. One that cannot be read is left out, and a note says why.
"""

import json
import logging
from collections.abc import Callable
from typing import Any, Protocol

import psycopg
from pydantic import ValidationError

from quotenode_backup.contract.facts import DatabaseFacts
from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.runner.postgres import facts_statements as statements
from quotenode_backup.runner.postgres.server import Server

log = logging.getLogger(__name__)

LOCK_SECONDS, STATEMENT_SECONDS = 1, 10
MOST_BYTES = 256 << 10
"""For all facts in the manifest together. The manifest may have four times as many, and the commit record of each bundle repeats them."""
_LONG = ("unlogged_tables", "flyway", "extensions", "settings", "acl", "roles")
"""The lists, in the order in which they are left out of a manifest in which they have no room."""

Facts = tuple[DatabaseFacts, list[str]]
"""With notes about the facts that are missing."""


class SnapshotTransaction(Protocol):
    @property
    def server(self) -> Server: ...

    @property
    def server_version(self) -> int: ...

    def execute(self, statement: str) -> None: ...

    def rows(self, statement: str) -> list[tuple[Any, ...]]: ...


def read(session: SnapshotTransaction) -> Facts:
    """The transaction keeps no lock, and waits for none for longer than `LOCK_SECONDS`."""
    found: dict[str, Any] = {}
    notes = [note for what, ask in _questions(session).items() if (note := _answered(session, what, ask, found))]
    return _without_what_has_no_room(DatabaseFacts(**found), notes)


def _questions(session: SnapshotTransaction) -> dict[str, Callable[[], dict[str, Any]]]:
    def value(statement: str) -> Callable[[], dict[str, Any]]:
        return lambda: dict(session.rows(statement)[0][0])

    return {
        "the size of the database": value(statements.SIZE),
        "the size of the largest index": value(statements.LARGEST_INDEX),
        "the owner, locale and privileges of the database": value(statements.description(session.server_version)),
        "the settings of the database": value(statements.SETTINGS),
        "the roles that the dump mentions": value(statements.ROLES),
        "the extensions": value(statements.EXTENSIONS),
        "the unlogged tables": value(statements.UNLOGGED_TABLES),
        "the version of Flyway": lambda: {"flyway": _flyway(session)},
    }


def _flyway(session: SnapshotTransaction) -> list[dict[str, str]]:
    versions: list[dict[str, str]] = []
    for schema, table in session.rows(statements.FLYWAY_TABLES):
        rows = session.rows(statements.FLYWAY_VERSION.format(table))
        versions += [{"schemaName": schema, "version": version} for (version,) in rows]
    return versions


def _answered(
    session: SnapshotTransaction, what: str, ask: Callable[[], dict[str, Any]], found: dict[str, Any]
) -> str | None:
    """Adds the facts to those that were `found`, or gives a note."""
    try:
        fields = _briefly(session, ask)
        facts = DatabaseFacts.model_validate(_without_secrets(session, fields))
    except (RunFailed, ValueError) as error:
        note = f"{what} could not be read ({_cause(session, error)})"
        log.warning("The manifest has less about the database: %s", note)
        return note
    found.update((name, getattr(facts, name)) for name in facts.model_fields_set)
    return None


def _briefly(session: SnapshotTransaction, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Whatever happens, the transaction goes on afterwards, and no lock is left."""
    session.execute("SAVEPOINT facts")
    try:
        session.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        session.execute(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'")
        session.execute("SET LOCAL row_security = off")  # a policy could run code that another role wrote
        return ask()
    finally:
        session.execute("ROLLBACK TO SAVEPOINT facts")


def _without_secrets(session: SnapshotTransaction, fields: dict[str, Any]) -> dict[str, Any]:
    """Without a comment, and without values of settings, that hold the password of the run's role."""

    def harmless(text: str | None) -> str | None:
        return text if text is None or session.server.redact(text) == text else None

    if "comment" in fields:
        return {**fields, "comment": harmless(fields["comment"])}
    if "settings" in fields:
        return {"settings": [{**one, "value": harmless(one["value"])} for one in fields["settings"]]}
    return fields


def _cause(session: SnapshotTransaction, error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "it has values that no manifest can hold"
    if isinstance(error, ValueError):
        return "it has text in another encoding than the database's"
    cause = error.__cause__
    message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return session.server.quote(message or str(error), 160)


def _without_what_has_no_room(facts: DatabaseFacts, notes: list[str]) -> Facts:
    for name in _LONG:
        if len(_written(facts)) <= MOST_BYTES:
            break
        count = len(getattr(facts, name) or ())
        facts = facts.model_copy(update={name: None})
        notes = [*notes, f"there are too many {name.replace('_', ' ')} for a manifest ({count})"]
    return facts, notes


def _written(facts: DatabaseFacts) -> str:
    return json.dumps(facts.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2)
