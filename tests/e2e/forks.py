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


ANSWER_WITHIN_SECONDS = 120  # the first answer comes after all imports


class Forks:
    """The process that is forked. It reads what to do line by line, and answers each line with one.

    Each line has a number, which its answer repeats: whoever was interrupted while it waited leaves an answer that nobody has read.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.forks"],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": f"{_ROOT / 'operator'}{os.pathsep}{_ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # whether an answer has come is asked of the pipe itself
        )
        self._asked = 0

    def ask(self, **wish: object) -> int | None:
        self._asked += 1
        line = json.dumps([self._asked, wish]) + "\n"
        cast("IO[bytes]", self._process.stdin).write(line.encode())
        number, answer = self._answer()
        while number != self._asked:
            number, answer = self._answer()
        return answer

    def _answer(self) -> tuple[int, int | None]:
        back = cast("IO[bytes]", self._process.stdout)
        ready, _, _ = select.select([back], [], [], ANSWER_WITHIN_SECONDS)
        assert ready, f"the process that is forked has not answered within {ANSWER_WITHIN_SECONDS} s"
        answer = back.readline()
        assert answer, "the process that is forked has ended"
        number, said = json.loads(answer)
        return number, said

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


_exit_codes: dict[int, int] = {}
"""By process. The kernel tells each of them only once, but somebody may ask again."""


def _ended(pid: int) -> int | None:
    """The exit code, negative for a signal; None while it runs."""
    if pid not in _exit_codes:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            _exit_codes[pid] = os.waitstatus_to_exitcode(status)
    return _exit_codes.get(pid)


def _forked(environment: dict[str, str], log: str) -> int:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)  # it is there as soon as the process is
    pid = os.fork()
    if pid == 0:
        os._exit(_operate(environment, output))
    os.close(output)
    _exit_codes.pop(pid, None)  # of an earlier process that had this number
    return pid


def _operate(environment: dict[str, str], output: int) -> int:
    """As `python -m quotenode_backup operator` does, with these surroundings. Returns the exit code."""
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    _redirect(os.open(os.devnull, os.O_RDONLY), 0)
    _redirect(output, 1, 2)
    try:
        return main(["operator"])
    except SystemExit as ended:
        return _exit_code(ended)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()


def _exit_code(ended: SystemExit) -> int:
    if ended.code is None or isinstance(ended.code, int):
        return ended.code or 0
    print(ended.code, file=sys.stderr)
    return 1


def _redirect(opened: int, *streams: int) -> None:
    for stream in streams:
        os.dup2(opened, stream)


if __name__ == "__main__":
    importlib.import_module("quotenode_backup.controller.app")
    for line in sys.stdin:
        asked, whole = json.loads(line)
        print(json.dumps([asked, _answer(whole)]), flush=True)
