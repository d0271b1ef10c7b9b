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
from quotenode_backup.runner.process.mounts import Places
from tests.unit.fakes.site import make_places, plan_fields, write_secret

PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)
PROGRAM = """
import sys
from pathlib import Path
from quotenode_backup.runner.commands.run import main
from quotenode_backup.runner.process.mounts import Places
sys.exit(main(sys.argv[2:], Places.below(Path(sys.argv[1]))))
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = make_places(tmp_path)
    write_secret(places)
    (places.clients / "17" / "bin").mkdir(parents=True)
    return places


def start(places: Places, digest: str | None = None, **plan: Any) -> subprocess.Popen[str]:
    text = json.dumps(plan_fields(**plan)).encode()
    places.plan.write_bytes(text)
    root = places.plan.parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, root, plan_digest(text) if digest is None else digest],
        env={"PYTHONPATH": PACKAGE},
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(places: Places, process: subprocess.Popen[str], reason: Reason, code: Exit) -> str:
    log, _ = process.communicate(timeout=30)
    result = json.loads(places.result.read_text())
    assert (result["reason"], process.returncode) == (reason, code), log
    assert result["message"] in log
    assert "canary" not in log + result["message"]
    return str(result["message"])


def test_a_plan_with_an_unknown_field_is_refused(places: Places) -> None:
    assert "encryption" in ended(places, start(places, encryption={}), Reason.PLAN_INVALID, Exit.BAD_REQUEST)


def test_a_plan_that_is_not_the_one_that_the_operator_wrote_is_refused(places: Places) -> None:
    message = ended(places, start(places, digest=plan_digest(b"{}")), Reason.PLAN_INVALID, Exit.BAD_REQUEST)
    assert "not the one that the operator wrote" in message


def test_a_plan_of_another_version_is_refused(places: Places) -> None:
    assert "version 2" in ended(places, start(places, version=2), Reason.PLAN_INVALID, Exit.BAD_REQUEST)


def test_a_deadline_in_the_past_is_too_late(places: Places) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    ended(places, start(places, deadline=past), Reason.DEADLINE_EXCEEDED, Exit.DEADLINE)


def test_a_secret_that_is_not_there_ends_it(places: Places) -> None:
    (places.database_secret / "password").unlink()
    ended(places, start(places), Reason.SECRET_MISSING, Exit.BAD_CONFIG)


def test_a_folder_that_is_not_in_its_claim_is_named(places: Places) -> None:
    files = [{"name": ".", "claimName": "quotenode-uploads", "subPath": "2026"}]
    message = ended(places, start(places, files=files), Reason.SOURCE_PATH_MISSING, Exit.BAD_CONFIG)
    assert "quotenode-uploads" in message
    assert "2026" in message


def test_a_server_that_is_not_there_is_unreachable(places: Places) -> None:
    database = {**plan_fields()["database"], "host": "127.0.0.1", "port": 1}
    ended(places, start(places, database=database), Reason.SOURCE_UNREACHABLE, Exit.UNAVAILABLE)


def test_told_to_stop_it_says_so(places: Places) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start(places, database=database_at(listener))
        connection, _ = listener.accept()
        os.kill(process.pid, signal.SIGTERM)
        ended(places, process, Reason.INTERRUPTED, Exit.TERMINATED)
        connection.close()


def test_a_deadline_that_passes_ends_it(places: Places) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start(places, database=database_at(listener), deadline=soon)
        ended(places, process, Reason.DEADLINE_EXCEEDED, Exit.DEADLINE)


def database_at(listener: socket.socket) -> dict[str, Any]:
    return {**plan_fields()["database"], "host": "127.0.0.1", "port": listener.getsockname()[1]}
