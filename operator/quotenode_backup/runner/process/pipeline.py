"""Processes that are joined by pipes, without a shell, and every exit code is checked.

Child processes get an environment that is made from scratch. A bounded part of what they write to stderr is kept, without the run's secrets.
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
"""Bytes. A chunk is small enough to stay in the processor's cache on its way through pipe, hash and disk."""
_PIPE_BYTES = 1 << 20  # the default limit for an ordinary user
_SMALLEST_PIPE = 4096


@dataclass(frozen=True, slots=True)
class Stage:
    """A program of a pipeline."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    descriptors: Sequence[int] = ()
    """Open files that the program inherits beside stdin, stdout and stderr."""


@dataclass(frozen=True, slots=True)
class Exit:
    name: str
    code: int
    """The negative number of the signal if a signal ended the program, as in subprocess."""
    stderr: str
    warnings: int = 0
    """How many lines of stderr were warnings. `stderr` may hold fewer of them."""


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
        message = f"{stage.name} cannot be started ({stage.argv[0]}: {error.strerror}): is this the operator's image?"
        raise RunFailed(Reason.INTERNAL_ERROR, message) from error


class Pipeline:
    """`a | b | c`, started.

    `fed`: the caller writes the input of the first stage to `input`.
    `read`: the caller reads the output of the last stage from `output`.
    `held`: the last stage can write no more than a page before `release` is called.
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
                    stdin.close()  # so that a stage gets SIGPIPE when the next one dies
                self._processes.append(process)
                size = _SMALLEST_PIPE if held and stage is stages[-1] else _PIPE_BYTES
                stdin = _sized(process.popen.stdout, size) if process.popen.stdout else subprocess.DEVNULL
        except BaseException:
            self.kill()
            self.wait()
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
        """Lets a `held` pipeline write as much as others."""
        _sized(self.output, _PIPE_BYTES)

    def kill(self) -> None:
        """Ends all stages at once. Nothing that they could still do is of use."""
        self._killed = True
        for process in self._processes:
            process.popen.kill()

    def wait(self) -> list[Exit]:
        """Waits until all stages have ended, and closes the pipe of the output. Raises if somebody else killed a stage, such as the kernel."""
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
    """The stage at fault. SIGPIPE says least, since a stage that dies takes the stages before it along by this signal."""
    failed = [ended for ended in exits if ended.code != 0]
    own = [ended for ended in failed if ended.code != -signal.SIGPIPE]
    return next(iter(own or failed), None)


def _sized(pipe: IO[bytes], size: int) -> IO[bytes]:
    """The larger a pipe is, the fewer switches there are between its two ends. It keeps its size if the kernel refuses, as it may when the user
    has many pipes."""
    with suppress(OSError):
        fcntl(pipe.fileno(), F_SETPIPE_SZ, size)
    return pipe


def pump(pipe: IO[bytes], take: Callable[[memoryview], None]) -> None:
    """Passes on all that comes out of `pipe`, in full chunks, so that small writes of a program do not become small writes to the disk."""
    buffer = memoryview(bytearray(CHUNK))
    while filled := read_into(pipe, buffer):
        take(buffer[:filled])


def read_into(pipe: IO[bytes], buffer: memoryview) -> int:
    """Fills `buffer`, unless the end comes first. Gives the number of bytes."""
    filled, descriptor = 0, pipe.fileno()
    while filled < len(buffer):
        count = os.readv(descriptor, [buffer[filled:]])
        if not count:
            break
        filled += count
    return filled
