"""`python -m quotenode_backup run`."""

from collections.abc import Sequence

from quotenode_backup.contract import Plan, Result
from quotenode_backup.runner import audit, interruption, program
from quotenode_backup.runner.backup import back_up
from quotenode_backup.runner.places import Places
from quotenode_backup.runner.program import Command
from quotenode_backup.runner.wording import Redactor


def main(arguments: Sequence[str], places: Places | None = None) -> int:
    return program.run(Command(Plan, back_up, interruption.A_BACKUP, _with_row), arguments, places)


def _with_row(plan: Plan, places: Places, redact: Redactor, result: Result) -> Result:
    return result.model_copy(update={"audit": audit.failed(plan, places, redact, result)})
