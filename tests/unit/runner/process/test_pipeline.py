"""Real processes, small ones."""

import signal
import sys
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.process.display import REDACTED, Redactor
from quotenode_backup.runner.process.pipeline import Exit, Pipeline, Stage, first_failure, pump
from tests.unit.fakes.site import redactor_of

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def python(name: str, code: str) -> Stage:
    return Stage(name, (sys.executable, "-c", code), ENVIRONMENT)


def output_of(*stages: Stage, secrets: tuple[str, ...] = ()) -> tuple[bytes, list[Exit]]:
    pipeline = Pipeline(stages, redactor_of(*secrets))
    chunks: list[bytes] = []
    pump(pipeline.output, lambda data: chunks.append(bytes(data)))
    return b"".join(chunks), pipeline.wait()


def test_what_the_first_writes_comes_out_of_the_last() -> None:
    write = python("write", "import sys; sys.stdout.write('x' * 3_000_000)")
    output, exits = output_of(write, Stage("cat", ("cat",), ENVIRONMENT))
    assert output == b"x" * 3_000_000
    assert first_failure(exits) is None


def test_the_stage_at_fault_is_told_from_those_that_sigpipe_ends() -> None:
    endless = Stage("yes", ("yes",), ENVIRONMENT)
    fails = python("fails", "import sys; sys.stdin.read(1); sys.exit('no more')")
    _, exits = output_of(endless, fails)
    failure = first_failure(exits)
    assert failure
    assert (failure.name, failure.code, failure.stderr) == ("fails", 1, "no more\n")


def test_a_failure_of_the_first_is_not_hidden_by_the_last() -> None:
    _, exits = output_of(python("fails", "raise SystemExit(3)"), Stage("cat", ("cat",), ENVIRONMENT))
    assert first_failure(exits) == Exit("fails", 3, "")


def test_a_child_that_somebody_else_kills_is_a_failure() -> None:
    pipeline = Pipeline([python("victim", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")], Redactor())
    with pytest.raises(RunFailed, match="victim was killed") as failure:
        pipeline.wait()
    assert failure.value.reason is Reason.CHILD_KILLED


def test_a_child_that_the_runner_kills_is_not_a_failure() -> None:
    pipeline = Pipeline([Stage("sleep", ("sleep", "600"), ENVIRONMENT)], Redactor())
    pipeline.kill()
    assert [ended.code for ended in pipeline.wait()] == [-signal.SIGKILL]


def test_what_is_kept_of_stderr_is_bounded_and_has_no_secrets() -> None:
    loud = python("loud", "import sys\nfor _ in range(10_000): print('canary', 'x' * 5000, file=sys.stderr)")
    _, exits = output_of(loud, secrets=("canary",))
    assert len(exits[0].stderr) < 100_000
    assert "canary" not in exits[0].stderr
    assert REDACTED in exits[0].stderr


def test_a_child_sees_nothing_of_the_runners_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEFT_OVER", "x")
    output, _ = output_of(Stage("env", ("env",), {**ENVIRONMENT, "ONLY": "this"}))
    assert output.splitlines() == [b"PATH=/usr/bin:/bin", b"ONLY=this"]


def test_a_missing_program_is_named() -> None:
    with pytest.raises(RunFailed, match="/no/such/igzip"):
        Pipeline([Stage("igzip", ("/no/such/igzip",), ENVIRONMENT)], Redactor())


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_no_descriptor_is_left_open() -> None:
    before = open_descriptors()
    output_of(Stage("true", ("true",), ENVIRONMENT), Stage("cat", ("cat",), ENVIRONMENT))
    assert open_descriptors() == before
