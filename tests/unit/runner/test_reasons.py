"""The reasons of the runner: each failure that it reports has an exit code."""

import ast
from pathlib import Path

import quotenode_backup.runner
from quotenode_backup.domain.reasons import VERDICTS, Reason

NOT_FAILURES = {Reason.COMPLETED, Reason.AUDIT_LOGGED}


def named_by_the_runner() -> set[Reason]:
    sources = [path.read_text() for path in Path(quotenode_backup.runner.__path__[0]).rglob("*.py")]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    return {Reason[node.attr] for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "Reason"}


def test_each_reason_of_a_failure_has_a_verdict() -> None:
    reasons = named_by_the_runner()
    assert len(reasons) > 20
    assert reasons >= NOT_FAILURES
    assert reasons - NOT_FAILURES <= VERDICTS.keys()
