"""`python -m quotenode_backup run`."""

from collections.abc import Sequence

from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.results import BackupResult
from quotenode_backup.runner.commands.backup import back_up
from quotenode_backup.runner.postgres import backup_logs
from quotenode_backup.runner.process import program, signals
from quotenode_backup.runner.process.display import Redactor
from quotenode_backup.runner.process.mounts import Places
from quotenode_backup.runner.process.program import Command


def main(arguments: Sequence[str], places: Places | None = None) -> int:
    return program.run(Command(BackupPlan, BackupResult, back_up, signals.A_BACKUP, _with_row), arguments, places)


def _with_row(plan: BackupPlan, places: Places, redact: Redactor, result: BackupResult) -> BackupResult:
    return result.model_copy(update={"audit": backup_logs.failed(plan, places, redact, result)})
