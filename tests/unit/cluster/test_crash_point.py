"""Where the operator kills itself under test: the point must be the same write in each run, however often others repeat."""

import os
import signal
import subprocess
import sys

import pytest

from quotenode_backup.cluster.crash_point import CrashPoint

STATUS = ("PATCH", "/runs/run/status")
JOB = ("POST", "/jobs")
EVENT = ("POST", "/events")
LIVES = "from quotenode_backup.cluster.crash_point import CrashPoint; import sys; point = CrashPoint(sys.argv[1])\n" + (
    "for path in sys.argv[2:]: number = point.before('PATCH', path); print(path, flush=True); point.after(number)"
)


def lived(where: str) -> tuple[int, list[str]]:
    """The exit code of a process with this crash point, and the writes that it had begun."""
    command = [sys.executable, "-c", LIVES, where, *"aabcd"]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout.split()


def test_a_write_that_repeats_the_one_before_takes_no_place_of_its_own() -> None:
    point = CrashPoint()
    numbers = [point.before(*write) for write in (STATUS, JOB, STATUS, STATUS, STATUS, EVENT, STATUS)]
    assert numbers == [
        ("1", "1.1"),
        ("2", "2.1"),
        ("3", "3.1"),
        ("4", "3.2"),
        ("5", "3.3"),
        ("6", "4.1"),
        ("7", "5.1"),
    ]


@pytest.mark.parametrize(
    ("where", "written"),
    [
        ("before:1", ""),
        ("after:1", "a"),
        ("after:3", "aab"),
        ("after:1.2", "aa"),
        ("before:2.1", "aa"),
        ("after:3.1", "aabc"),
    ],
)
def test_the_process_is_killed_at_the_write_that_has_this_number(where: str, written: str) -> None:
    assert lived(where) == (-signal.SIGKILL, list(written))


@pytest.mark.parametrize("where", ["", "after:6", "after:1.3", "before:5.1"])
def test_without_a_write_of_this_number_nothing_is_killed(where: str) -> None:
    assert lived(where) == (0, list("aabcd"))
