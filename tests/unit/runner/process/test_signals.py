"""Each in a process of its own: signal handlers belong to a whole process."""

import subprocess
import sys
from pathlib import Path

import pytest

import quotenode_backup

PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)
START = """
import os, signal
from datetime import UTC, datetime, timedelta
from quotenode_backup.runner.process.signals import Interrupted, Signals, Unfinished
signals = Signals(Unfinished("the row was written", "it is tried again"))
signals.listen()

def told_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)
"""


def outcome(program: str) -> str:
    command = [sys.executable, "-c", START + program]
    ended = subprocess.run(command, env={"PYTHONPATH": PACKAGE}, capture_output=True, text=True, timeout=20, check=True)
    return ended.stdout.strip()


def test_a_library_that_swallows_exceptions_does_not_swallow_an_interruption() -> None:
    program = """
try:
    try:
        told_to_stop()
    except Exception:
        print("swallowed")
except Interrupted as end:
    print(end.failure.reason)
"""
    assert outcome(program) == "Interrupted"


def test_an_interruption_that_was_lost_in_a_finaliser_is_raised_again() -> None:
    program = """
class Finalised:
    def __del__(self):
        told_to_stop()

Finalised()
try:
    signals.require_none()
except Interrupted as end:
    print(end.failure.reason)
"""
    assert outcome(program) == "Interrupted"


@pytest.mark.parametrize("before", ["", "told = []\ntry: told_to_stop()\nexcept Interrupted: pass"])
def test_nothing_interrupts_while_signals_are_blocked_or_after_the_first_interruption(before: str) -> None:
    program = f"""
signals.stop_at(datetime.now(UTC) + timedelta(seconds=30))
{before or "signals.block()"}
told_to_stop()
signal.raise_signal(signal.SIGALRM)
print("went on")
"""
    assert outcome(program) == "went on"


def test_a_deadline_that_passes_interrupts() -> None:
    program = """
signals.stop_at(datetime.now(UTC) + timedelta(milliseconds=50))
try:
    signal.pause()
except Interrupted as end:
    print(end.failure.reason)
"""
    assert outcome(program) == "DeadlineExceeded"


def test_a_signal_to_stop_that_is_blocked_is_noted() -> None:
    program = """
signals.block()
print(signals.is_stop_requested, end=" ")
told_to_stop()
print(signals.is_stop_requested)
"""
    assert outcome(program) == "False True"


def test_the_words_of_an_interruption_are_those_of_the_moment() -> None:
    program = """
signals.stop_at(datetime.now(UTC) + timedelta(milliseconds=500))
signals.unfinished = Unfinished("the bundle was there", "wait")
try:
    signal.pause()
except Interrupted as end:
    print(end.failure.message)
"""
    assert outcome(program) == "The deadline passed before the bundle was there: wait."


def test_an_interruption_has_the_words_of_its_command() -> None:
    program = """
try:
    told_to_stop()
except Interrupted as end:
    print(end.failure.message)
"""
    assert outcome(program) == "The pod was told to stop (deleted, evicted or drained) before the row was written."
