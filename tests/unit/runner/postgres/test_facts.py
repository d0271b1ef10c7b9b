"""No fact that cannot be read, has no room or holds a secret is in the manifest, and none of them fails a backup."""

import re
from typing import Any

import pytest

from quotenode_backup.contract.facts import DatabaseFacts
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres import facts
from quotenode_backup.runner.postgres.credentials import Credentials
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.process.display import Redactor
from tests.unit.fakes.site import make_plan

SECRET = "a secret of the role"
Answer = dict[str, Any] | RunFailed


class FakeSession:
    """Answers each question about the database, and keeps the statements that frame it."""

    server_version = 170010

    def __init__(self, **answers: Answer) -> None:
        """`answers`: by a word of the statement that asks."""
        redact = Redactor()
        redact.learn(SECRET)
        self.server = Server(make_plan().database, Credentials("app", SECRET), None, redact)
        self.executed: list[str] = []
        self._answers = answers

    def execute(self, statement: str) -> None:
        self.executed.append(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        if "flyway" in statement:
            return []
        answer = next((answer for word, answer in self._answers.items() if f"'{word}'" in statement), {})
        if isinstance(answer, RunFailed):
            raise answer
        return [(answer,)]


def read(**answers: Answer) -> tuple[DatabaseFacts, list[str]]:
    return facts.read(FakeSession(**answers))


def test_what_is_read_is_in_the_facts() -> None:
    found, notes = read(databaseBytes={"databaseBytes": 7}, owner={"owner": "quotenode", "connectionLimit": -1})
    assert (found.database_bytes, found.owner, found.connection_limit) == (7, "quotenode", -1)
    assert notes == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (RunFailed(Reason.TABLE_LOCKED, "another session holds a lock"), "another session holds a lock"),
        ({"extensions": [{"name": "x" * 5000, "version": "1", "schemaName": "public"}]}, "no manifest can hold"),
    ],
)
def test_what_cannot_be_read_is_a_note_and_all_else_is_read(answer: Answer, why: str) -> None:
    found, [note] = read(databaseBytes={"databaseBytes": 7}, extensions=answer)
    assert found == DatabaseFacts(database_bytes=7, flyway=())
    assert re.fullmatch(rf"the extensions could not be read \(.*{why}.*\)", note)


def test_each_question_leaves_the_transaction_as_it_was() -> None:
    session = FakeSession(extensions=RunFailed(Reason.TABLE_LOCKED, "locked"))
    facts.read(session)
    framed = [statement for statement in session.executed if not statement.startswith("SET LOCAL")]
    assert framed == ["SAVEPOINT facts", "ROLLBACK TO SAVEPOINT facts"] * (len(framed) // 2)
    assert len(framed) > 2


def test_no_comment_and_no_setting_with_the_password_is_in_the_facts() -> None:
    settings = [{"name": "work_mem", "value": "8MB"}, {"name": "application_name", "value": f"of {SECRET}"}]
    found, notes = read(settings={"settings": settings}, owner={"comment": f"log in with {SECRET}"})
    assert found.settings
    assert [(one.name, one.value) for one in found.settings] == [("work_mem", "8MB"), ("application_name", None)]
    assert found.comment is None
    assert notes == []


def test_lists_that_have_no_room_in_a_manifest_are_left_out_the_least_important_first() -> None:
    tables = [{"schemaName": "public", "name": f"table_{number}"} for number in range(10_000)]
    roles = [{"name": f"role_{number}", "uses": ["owner"]} for number in range(3)]
    found, notes = read(unloggedTables={"unloggedTables": tables}, roles={"roles": roles})
    assert found.unlogged_tables is None
    assert found.roles
    assert len(found.roles) == 3
    assert notes == ["there are too many unlogged tables for a manifest (10000)"]
