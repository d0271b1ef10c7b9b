"""`python -m quotenode_backup run` makes a backup."""

from collections.abc import Sequence

from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.results import BackupResult
from quotenode_backup.runner.commands.backup import A_BACKUP, back_up
from quotenode_backup.runner.postgres import backup_logs
from quotenode_backup.runner.process import program
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(BackupPlan, BackupResult, back_up, A_BACKUP, _with_row), arguments, mounts)


def _with_row(plan: BackupPlan, context: Context, result: BackupResult) -> BackupResult:
    return result.model_copy(update={"audit": backup_logs.failed(plan, context.mounts, context.redact, result)})
