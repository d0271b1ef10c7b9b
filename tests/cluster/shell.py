"""Child processes and the plain lines that tell what is being done."""

import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TAIL_LINES = 15

Argument = str | Path


class HarnessError(Exception):
    """One sentence for the person at the terminal: what is wrong and what to do about it."""


def say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print what begins and, when it took a while, how long it took."""
    say(f"--> {name}")
    started = time.monotonic()
    yield
    if (elapsed := time.monotonic() - started) >= 1:
        say(f"    {elapsed:.0f} s: {name}")


def run(
    command: Sequence[Argument],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Run a command quietly and return what it printed; when it fails, say so with its last lines."""
    argv = [str(part) for part in command]
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except FileNotFoundError as error:
        raise HarnessError(f"{argv[0]} is not installed.") from error
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"`{shlex.join(argv)}` did not end within {timeout:.0f} s.") from error
    if done.returncode != 0:
        raise HarnessError(failure_text(argv, done.returncode, done.stdout + done.stderr))
    return done.stdout


def failure_text(argv: Sequence[str], code: int, output: str) -> str:
    last_lines = "\n".join(f"    {line}" for line in output.strip().splitlines()[-TAIL_LINES:])
    shown = shlex.join(argv)
    shown = shown if len(shown) <= 300 else f"{shown[:300]}…"
    return f"`{shown}` ended with exit code {code}:\n{last_lines}"


def succeeds(
    command: Sequence[Argument], *, env: Mapping[str, str] | None = None, timeout: float | None = None
) -> bool:
    try:
        run(command, env=env, timeout=timeout)
    except HarnessError:
        return False
    return True
