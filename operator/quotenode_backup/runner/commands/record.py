"""`python -m quotenode_backup record` writes the row of a run that could not write it itself. The plan says how that run ended."""

from collections.abc import Sequence

from quotenode_backup.contract.plans import RecordPlan
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.runner.postgres import backup_logs
from quotenode_backup.runner.postgres.server import server_of
from quotenode_backup.runner.process import plan_io, program
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context
from quotenode_backup.runner.process.signals import Unfinished

A_ROW = Unfinished("the row was written into backup_logs", "the write is tried again")


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(RecordPlan, Result, record, A_ROW), arguments, mounts)


def record(plan: RecordPlan, context: Context) -> Result:
    server = server_of(plan.database, context.mounts, context.redact)
    outcome = backup_logs.write(server, plan.original_uid or plan.run_uid, plan.row)
    if outcome.logged:
        return plan_io.succeeded(plan, outcome.message, Result)
    return plan_io.failed(plan, RunFailed(outcome.reason, outcome.message), Result)
