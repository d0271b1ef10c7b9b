"""What the kernel tells about processes, read from /proc as root."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.integration.waiting import LOOK_EVERY, eventually

GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 - as fast as can be


def parent_of(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except GONE:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def descendants(pid: int) -> list[int]:
    parents = {child: parent_of(child) for child in all_pids()}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def command_line(pid: int) -> list[str]:
    return _read(pid, "cmdline").decode(errors="replace").split("\0")


def is_stopped(pid: int) -> bool:
    return "State:\tT" in _read(pid, "status").decode(errors="replace")


def open_files(pid: int) -> list[str]:
    found = []
    with contextlib.suppress(*GONE):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(*GONE):
                found.append(os.readlink(link))  # noqa: PTH115 - a target such as pipe:[1] is no path
    return found


def resident_bytes(pids: Iterable[int]) -> int:
    """Memory that belongs to these processes, shared pages counted once among them."""
    return sum(_proportional_set(pid) for pid in pids)


def _proportional_set(pid: int) -> int:
    for line in _read(pid, "smaps_rollup").decode().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (*GONE, OSError):
        return b""


def freeze(pid: int) -> None:
    """Returns when it really stands still."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: is_stopped(pid) or not Path(f"/proc/{pid}").exists(), f"process {pid} stands still")


def thaw(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[int]:
    freeze(pid)
    try:
        yield pid
    finally:
        thaw(pid)


class Watch:
    """Looks at every process below one, all the time, for as long as it is open."""

    def __init__(self, pid: int) -> None:
        self.argv_and_environ: set[bytes] = set()
        self.commands: set[str] = set()
        self.peak_bytes = 0
        self.looks = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            pids = descendants(self._pid)
            self.looks += 1
            self.peak_bytes = max(self.peak_bytes, resident_bytes(pids))
            for pid in pids:
                cmdline = _read(pid, "cmdline")
                self.argv_and_environ |= {cmdline, _read(pid, "environ")}
                self.commands.add(Path(cmdline.split(b"\0")[0].decode(errors="replace")).name)
