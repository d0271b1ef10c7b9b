"""A program ends with a result whatever happens. It runs in a process of its own: signal handlers belong to a whole process."""

import json
import subprocess
import sys
from pathlib import Path

import quotenode_backup
from quotenode_backup.contract.plans import plan_digest
from quotenode_backup.domain.reasons import Exit, Reason
from tests.unit.fakes.site import make_mounts, plan_fields

PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)
PROGRAM = """
import sys
from pathlib import Path
from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.contract.results import BackupResult
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.process import program
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command
from quotenode_backup.runner.process.signals import Unfinished

def work(plan, context):
    context.redact.learn("canary")
    raise RunFailed(Reason.DUMP_FAILED, "The dump failed.")

def after_failure(plan, context, result):
    raise OSError(5, "canary")

command = Command(BackupPlan, BackupResult, work, Unfinished("", ""), after_failure)
sys.exit(program.run(command, sys.argv[2:], Mounts.below(Path(sys.argv[1]))))
"""


def test_a_failure_is_reported_even_if_what_follows_it_meets_an_unexpected_error(tmp_path: Path) -> None:
    mounts = make_mounts(tmp_path)
    text = json.dumps(plan_fields()).encode()
    mounts.plan.write_bytes(text)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), plan_digest(text)]
    ended = subprocess.run(
        command, env={"PYTHONPATH": PACKAGE}, stdout=subprocess.PIPE, text=True, timeout=30, check=False
    )
    result = json.loads(mounts.result.read_text())
    assert (result["reason"], result["message"]) == (Reason.DUMP_FAILED, "The dump failed.")
    assert ended.returncode == Exit.IO_ERROR
    assert "OSError: [Errno 5] (redacted)" in ended.stdout
