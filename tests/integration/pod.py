"""The runner as Kubernetes runs it: the shipped program with its mounts, its user and a root that cannot be written."""

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from quotenode_backup.contract import paths, plans, results
from quotenode_backup.domain.reasons import VERDICTS, Reason
from tests.integration.processes import command_line, descendants, open_files
from tests.integration.waiting import eventually

USER = 10001
LAUNCHER = Path(__file__).parent / "pod.sh"
START = json.loads(os.environ["QN_SHIPPED"])
"""`env -i`, the image's environment and its entry point."""
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]


@dataclass(frozen=True)
class Mount:
    source: Path
    target: str
    mode: str = "ro"

    @property
    def words(self) -> list[str]:
        return [str(self.source), self.target, self.mode]


@dataclass(frozen=True)
class Outcome:
    """What an attempt left for the kubelet to read."""

    exit_code: int
    termination_message: bytes
    log: str
    seconds: float

    @property
    def result(self) -> results.BackupResult:
        line = self.termination_message
        assert 0 < len(line) <= results.RESULT_LIMIT, f"no result of a fitting size: {line!r}; {self}"
        assert line.rstrip(b"\n").count(b"\n") == 0, f"more than one line: {line!r}"
        return results.BackupResult.model_validate(json.loads(line))

    def succeeded(self) -> results.StoredBundle:
        assert self.exit_code == 0, self.story
        result = self.result
        assert (result.outcome, result.reason) == (results.Outcome.SUCCEEDED, Reason.COMPLETED), self.story
        assert result.bundle is not None
        return result.bundle

    def failed(self, reason: Reason, *mentioned: str, within: float = 30) -> str:
        """The message, which must name each thing given."""
        result = self.result
        assert result.outcome is results.Outcome.FAILED, self.story
        assert result.reason is reason, self.story
        assert self.exit_code == VERDICTS[reason].exit_code, self.story
        assert result.bundle is None
        for thing in mentioned:
            assert thing in result.message, f"{thing!r} is not named: {result.message}"
        assert len(result.message) <= results.DETAIL_LIMIT
        assert "Traceback" not in self.log, self.log
        assert self.seconds < within, f"it took {self.seconds:.1f} s"
        return result.message

    @property
    def story(self) -> str:
        return f"exit {self.exit_code}, {self.termination_message.decode(errors='replace')}\n{self.log}"


def volume(folder: Path, contents: Mapping[str, bytes]) -> None:
    """A Secret or an annotation as the kubelet mounts it: each name is a link through `..data`, so all change at once."""
    versioned = folder / "..2026_03_01_02_00_00.1"
    versioned.mkdir(parents=True)
    (folder / "..data").symlink_to(versioned.name)
    for name, content in contents.items():
        (versioned / name).write_bytes(content)
        (folder / name).symlink_to(f"..data/{name}")


class Pod:
    """One attempt. `folder` holds what a kubelet would keep for it."""

    def __init__(
        self,
        folder: Path,
        plan: bytes,
        secrets: Mapping[str, bytes],
        mounts: Sequence[Mount],
        *,
        ca: bytes | None = None,
        tracer: Sequence[str] = (),
        command: str = "backup",
        digest: str | None = None,
    ) -> None:
        self.uid = str(uuid.uuid4())
        self._asked = command
        self._digest = plans.plan_digest(plan) if digest is None else digest
        self._folder = folder
        self._kept(plan, secrets, ca)
        kubelet = [Mount(folder / "plan", "/plan"), Mount(folder / "secrets", "/secrets")]
        log_mount = Mount(folder / "termination-log", paths.RESULT, "rw")
        words = [word for mount in [*kubelet, *mounts, log_mount] for word in mount.words]
        self._started = time.monotonic()
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [*NAMESPACES, "--", LAUNCHER, str(USER), *words, "--", *self._command()],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "QN_TRACER": " ".join(tracer)},
        )

    def _kept(self, plan: bytes, secrets: Mapping[str, bytes], ca: bytes | None) -> None:
        volume(self._folder / "plan", {"plan.json": plan})
        volume(self._folder / "secrets" / "database", secrets)
        volume(self._folder / "secrets" / "ca", {"ca.crt": ca} if ca else {})
        message = self._folder / "termination-log"
        message.touch()
        message.chmod(0o666)

    def _command(self) -> list[str]:
        pod = {"HOME": paths.PRIVATE, "TMPDIR": paths.PRIVATE, "POD_UID": self.uid, "POD_NAME": "qnb-test"}
        return [*START[:2], *(f"{name}={value}" for name, value in pod.items()), *START[2:], self._asked, self._digest]

    @property
    def outermost(self) -> int:
        return self._process.pid

    @cached_property
    def pid(self) -> int:
        """The runner: process 1 of its pod."""
        return eventually(lambda: self._find(f"quotenode_backup {self._asked}"), "the runner has started")

    def child(self, words: str) -> int:
        """The process below the runner whose command line has these words, as soon as there is one."""
        return eventually(lambda: self._find(words), f"the runner has started {words}{self._said()}")

    def child_reading(self, file: Path) -> int:
        """The process that has a file open, as soon as there is one."""
        return eventually(lambda: self._reader(file), f"something below the runner reads {file}{self._said()}")

    def _find(self, words: str) -> int | None:
        assert self.is_running(), f"the runner ended too early{self._said()}"
        for pid in descendants(self.outermost):
            line = command_line(pid)
            if words in " ".join([Path(line[0]).name, *line[1:]]) and not {"pod.sh", "strace"} & {
                Path(word).name for word in line[:2]
            }:
                return pid
        return None

    def _reader(self, file: Path) -> int | None:
        assert self.is_running(), f"the runner ended too early{self._said()}"
        readers = (pid for pid in descendants(self.outermost) if any(file.name in name for name in open_files(pid)))
        return next(readers, None)

    @property
    def log(self) -> str:
        """What the runner has logged so far."""
        return (self._folder / "log").read_text(errors="replace")

    def _said(self) -> str:
        return f": {self.log}"

    def is_running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """To the runner alone, as a kubelet does."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As a node that dies: nothing in the pod gets to do anything more. With process 1 the kernel ends all others."""
        for pid in [*descendants(self.outermost), self.outermost]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)
        self._log.close()

    def wait(self, seconds: float = 60) -> Outcome:
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the runner did not end within {seconds:g} s{self._said()}") from None
        finally:
            self._log.close()
        return Outcome(
            128 - code if code < 0 else code,
            (self._folder / "termination-log").read_bytes(),
            (self._folder / "log").read_text(errors="replace"),
            time.monotonic() - self._started,
        )
