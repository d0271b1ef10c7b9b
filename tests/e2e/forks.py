"""Operator processes that start in no time: one process has imported all that they need, and each of them is a fork of it.

To start Python and import everything takes more than a second of a processor, and a crash walk starts two operators for each step.
"""

import importlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import IO, Any, cast

from quotenode_backup.__main__ import main

_ROOT = Path(__file__).parents[2]


class Forks:
    """The process that is forked. It reads what to do line by line, and answers each line with one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.forks"],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": f"{_ROOT / 'operator'}{os.pathsep}{_ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **wish: object) -> int | None:
        to, back = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        to.write(json.dumps(wish) + "\n")
        to.flush()
        answer = back.readline()
        assert answer, "the process that is forked has ended"
        return cast("int | None", json.loads(answer))

    def close(self) -> None:
        self._process.communicate(timeout=20)


class Fork:
    """An operator's process, with those methods of `subprocess.Popen` that are needed here."""

    def __init__(self, forks: Forks, environment: dict[str, str], log: Path) -> None:
        self._forks = forks
        self.pid = cast("int", forks.ask(environment=environment, log=str(log)))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._forks.ask(ended=self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        if self.poll() is None:
            process = os.pidfd_open(self.pid)
            select.select([process], [], [], timeout)
            os.close(process)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(f"operator {self.pid}", timeout)
        return cast("int", self.returncode)

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _answer(wish: dict[str, Any]) -> int | None:
    return _ended(wish["ended"]) if "ended" in wish else _forked(wish["environment"], wish["log"])


def _ended(pid: int) -> int | None:
    """The exit code, negative for a signal; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _forked(environment: dict[str, str], log: str) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(_operate(environment, log))
    return pid


def _operate(environment: dict[str, str], log: str) -> int:
    """As `python -m quotenode_backup operator` does, with these surroundings."""
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    _redirect(os.open(os.devnull, os.O_RDONLY), 0)
    _redirect(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1, 2)
    try:
        return main(["operator"])
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()


def _redirect(opened: int, *streams: int) -> None:
    for stream in streams:
        os.dup2(opened, stream)


if __name__ == "__main__":
    importlib.import_module("quotenode_backup.controller.app")
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)
