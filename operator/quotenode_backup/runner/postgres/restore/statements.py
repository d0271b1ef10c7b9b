"""Statements that name databases and roles: names and texts are quoted by libpq, and never become a part of a statement otherwise."""

from typing import Any, LiteralString

import psycopg
from psycopg import sql

from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.runner.postgres.refusals import session_failure
from quotenode_backup.runner.postgres.sessions import Session

Part = sql.Composable


def name(identifier: str) -> Part:
    return sql.Identifier(identifier)


def text(value: str | None) -> Part:
    """A literal, which is NULL for None."""
    return sql.Literal(value)


def statement(template: LiteralString, *parts: Part) -> sql.Composed:
    return sql.SQL(template).format(*parts)


class StatementSession(Session):
    """A session for statements that take names instead of parameters."""

    def do(self, template: LiteralString, *parts: Part) -> str:
        """Gives the command tag, such as `COMMIT`."""
        return self.run(statement(template, *parts))

    def run(self, composed: sql.Composed) -> str:
        try:
            return self._connection.execute(composed).statusmessage or ""
        except psycopg.Error as error:
            raise session_failure(self.server, error) from error

    def one(self, composed: sql.Composed) -> Any:
        """The first value of the first row."""
        try:
            row = self._connection.execute(composed).fetchone()
        except psycopg.Error as error:
            raise session_failure(self.server, error) from error
        return row[0] if row else None

    @property
    def connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        return self._connection


def sqlstate(failure: RunFailed) -> str:
    """The SQLSTATE behind a failure. Empty if there is none."""
    cause = failure.__cause__
    return (cause.sqlstate or "") if isinstance(cause, psycopg.Error) else ""
