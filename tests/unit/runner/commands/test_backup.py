"""The runner as a program, as far as it comes without a database."""

import json
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import quotenode_backup
from quotenode_backup.contract.plans import plan_digest
from quotenode_backup.domain.reasons import Exit, Reason
from quotenode_backup.runner.process.mounts import Mounts
from tests.unit.fakes.site import make_mounts, plan_fields, write_secret

PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)
PROGRAM = """
import sys
from pathlib import Path
from quotenode_backup.runner.commands.backup import main
from quotenode_backup.runner.process.mounts import Mounts
sys.exit(main(sys.argv[2:], Mounts.below(Path(sys.argv[1]))))
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    mounts = make_mounts(tmp_path)
    write_secret(mounts)
    (mounts.clients / "17" / "bin").mkdir(parents=True)
    return mounts


def start(mounts: Mounts, digest: str | None = None, **plan: Any) -> subprocess.Popen[str]:
    text = json.dumps(plan_fields(**plan)).encode()
    mounts.plan.write_bytes(text)
    root = mounts.plan.parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, root, plan_digest(text) if digest is None else digest],
        env={"PYTHONPATH": PACKAGE},
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(mounts: Mounts, process: subprocess.Popen[str], reason: Reason, code: Exit) -> str:
    log, _ = process.communicate(timeout=30)
    result = json.loads(mounts.result.read_text())
    assert (result["reason"], process.returncode) == (reason, code), log
    assert result["message"] in log
    assert "canary" not in log + result["message"]
    return str(result["message"])


def test_a_plan_with_an_unknown_field_is_refused(mounts: Mounts) -> None:
    assert "encryption" in ended(mounts, start(mounts, encryption={}), Reason.PLAN_INVALID, Exit.BAD_REQUEST)


def test_a_plan_that_is_not_the_one_that_the_operator_wrote_is_refused(mounts: Mounts) -> None:
    message = ended(mounts, start(mounts, digest=plan_digest(b"{}")), Reason.PLAN_INVALID, Exit.BAD_REQUEST)
    assert "not the one that the operator wrote" in message


@pytest.mark.parametrize("more", [{}, {"encryption": {}}])
def test_a_plan_of_another_version_is_refused(mounts: Mounts, more: dict[str, Any]) -> None:
    """Whatever fields it has."""
    assert "version 2" in ended(mounts, start(mounts, version=2, **more), Reason.PLAN_INVALID, Exit.BAD_REQUEST)


def test_a_deadline_in_the_past_ends_the_run_at_once(mounts: Mounts) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    ended(mounts, start(mounts, deadline=past), Reason.DEADLINE_EXCEEDED, Exit.DEADLINE)


def test_a_missing_secret_ends_the_run(mounts: Mounts) -> None:
    (mounts.database_secret / "password").unlink()
    ended(mounts, start(mounts), Reason.SECRET_MISSING, Exit.BAD_CONFIG)


def test_a_folder_that_is_not_in_its_claim_is_named(mounts: Mounts) -> None:
    files = [{"name": ".", "claimName": "quotenode-uploads", "subPath": "2026"}]
    message = ended(mounts, start(mounts, files=files), Reason.SOURCE_PATH_MISSING, Exit.BAD_CONFIG)
    assert "quotenode-uploads" in message
    assert "2026" in message


def test_a_missing_server_is_unreachable(mounts: Mounts) -> None:
    database = {**plan_fields()["database"], "host": "127.0.0.1", "port": 1}
    ended(mounts, start(mounts, database=database), Reason.SOURCE_UNREACHABLE, Exit.UNAVAILABLE)


def test_a_run_that_is_told_to_stop_says_so(mounts: Mounts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start(mounts, database=database_at(listener))
        connection, _ = listener.accept()
        os.kill(process.pid, signal.SIGTERM)
        ended(mounts, process, Reason.INTERRUPTED, Exit.TERMINATED)
        connection.close()


def test_a_deadline_that_passes_ends_the_run(mounts: Mounts) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start(mounts, database=database_at(listener), deadline=soon)
        message = ended(mounts, process, Reason.DEADLINE_EXCEEDED, Exit.DEADLINE)
    assert message.startswith("The deadline passed before the bundle was complete: raise spec.activeDeadlineSeconds")


def database_at(listener: socket.socket) -> dict[str, Any]:
    return {**plan_fields()["database"], "host": "127.0.0.1", "port": listener.getsockname()[1]}
