"""Real processes joined by pipes, no shell, and every exit code looked at.

Children get an environment made from scratch. What they say on stderr is kept, bounded, and without the run's secrets.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import F_SETPIPE_SZ, fcntl
from typing import IO

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.process.display import Redactor
from quotenode_backup.runner.process.stderr import Stderr

CHUNK = 1 << 18
"""Bytes. Small enough to stay in a processor's cache on their way through pipe, hash and disk."""
_PIPE_BYTES = 1 << 20  # what an ordinary user may ask for
_SMALLEST_PIPE = 4096


@dataclass(frozen=True, slots=True)
class Stage:
    """A program of a pipeline."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    descriptors: Sequence[int] = ()
    """Open files beside stdin, stdout and stderr that it inherits."""


@dataclass(frozen=True, slots=True)
class Exit:
    name: str
    code: int
    """As subprocess has it: negative for a signal."""
    said: str
    warnings: int = 0
    """How many lines of stderr were warnings; `said` may hold fewer."""


class _Process:
    def __init__(self, stage: Stage, stdin: int | IO[bytes], stdout: int, redact: Redactor) -> None:
        self.name = stage.name
        self.popen = subprocess.Popen(
            stage.argv,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=stage.environment,
            pass_fds=stage.descriptors,
            bufsize=0,
        )
        assert self.popen.stderr
        self._stderr = Stderr(self.popen.stderr, stage.name, redact)

    def wait(self) -> Exit:
        code = self.popen.wait()
        return Exit(self.name, code, self._stderr.text(), self._stderr.warnings)


def _started(stage: Stage, stdin: int | IO[bytes], stdout: int, redact: Redactor) -> _Process:
    try:
        return _Process(stage, stdin, stdout, redact)
    except OSError as error:
        words = f"{stage.name} cannot be started ({stage.argv[0]}: {error.strerror}): is this the operator's image?"
        raise RunFailed(Reason.INTERNAL_ERROR, words) from error


class Pipeline:
    """`a | b | c`, started. Its output is read from `output`, its input, if asked for, is written to `input`.

    `held`: the last stage can write no more than a page until `release` is called or its output is read.
    """

    def __init__(
        self, stages: Sequence[Stage], redact: Redactor, *, fed: bool = False, read: bool = True, held: bool = False
    ) -> None:
        self._processes: list[_Process] = []
        self._killed = False
        stdin: int | IO[bytes] = subprocess.PIPE if fed else subprocess.DEVNULL
        try:
            for stage in stages:
                last = stage is stages[-1] and not read
                process = _started(stage, stdin, subprocess.DEVNULL if last else subprocess.PIPE, redact)
                if self._processes and not isinstance(stdin, int):
                    stdin.close()  # so that a stage that dies is felt by the one before it
                self._processes.append(process)
                size = _SMALLEST_PIPE if held and stage is stages[-1] else _PIPE_BYTES
                stdin = _sized(process.popen.stdout, size) if process.popen.stdout else subprocess.DEVNULL
        except BaseException:
            self.kill()
            raise

    @property
    def output(self) -> IO[bytes]:
        stdout = self._processes[-1].popen.stdout
        assert stdout
        return stdout

    @property
    def input(self) -> IO[bytes]:
        stdin = self._processes[0].popen.stdin
        assert stdin
        return stdin

    def release(self) -> None:
        """Lets a `held` pipeline write as it likes."""
        _sized(self.output, _PIPE_BYTES)

    def kill(self) -> None:
        """The end of all of it, now. Nothing that a child could still do is of use."""
        self._killed = True
        for process in self._processes:
            process.popen.kill()

    def wait(self) -> list[Exit]:
        """The ends of all stages, the output's pipe closed. A child that the kernel killed is a failure by itself."""
        exits = [process.wait() for process in self._processes]
        for process in self._processes:
            if process.popen.stdout:
                process.popen.stdout.close()
        for ended in exits:
            if ended.code == -signal.SIGKILL and not self._killed:
                raise killed(ended.name)
        return exits


def killed(name: str) -> RunFailed:
    return RunFailed(
        Reason.CHILD_KILLED,
        f"{name} was killed by SIGKILL, most likely because the pod reached its memory limit: "
        "raise spec.pod.resources.limits.memory.",
    )


def first_failure(exits: Sequence[Exit]) -> Exit | None:
    """The stage at fault: one that dies takes those before it along by SIGPIPE, so theirs is the last explanation."""
    failed = [ended for ended in exits if ended.code != 0]
    own = [ended for ended in failed if ended.code != -signal.SIGPIPE]
    return next(iter(own or failed), None)


def _sized(pipe: IO[bytes], size: int) -> IO[bytes]:
    """The larger, the fewer switches between the two ends. The kernel may refuse when the user has many pipes: then it stays as it is."""
    with suppress(OSError):
        fcntl(pipe.fileno(), F_SETPIPE_SZ, size)
    return pipe


def pump(pipe: IO[bytes], take: Callable[[memoryview], None]) -> None:
    """All that comes out of `pipe`, in full chunks: small writes of a program do not become small writes to the disk."""
    buffer = memoryview(bytearray(CHUNK))
    while filled := read_into(pipe, buffer):
        take(buffer[:filled])


def read_into(pipe: IO[bytes], buffer: memoryview) -> int:
    """Fills `buffer`, or what is left until the end."""
    filled, descriptor = 0, pipe.fileno()
    while filled < len(buffer):
        count = os.readv(descriptor, [buffer[filled:]])
        if not count:
            break
        filled += count
    return filled
