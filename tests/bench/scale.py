"""Measures one operator under the load of years: `python -m tests.bench.scale`, with the cluster up.

In a namespace of its own it makes 1,000 schedules that rest and 4,000 finished runs. Then an operator process of this machine is watched:
how long until it has looked at every schedule, how much memory it takes, what it costs to be idle, and how fast it still is.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from quotenode_backup.cluster.connection import MERGE_PATCH, Connection
from quotenode_backup.cluster.errors import NotFound
from quotenode_backup.domain.naming import trigger_run_name
from tests.bench.scale_crowd import connected, fill, path, schedule_all
from tests.bench.table import Bound, report
from tests.cluster.shell import step
from tests.e2e.kubectl import kubectl
from tests.e2e.operators import ROOT, OperatorProcess

RESYNC_SECONDS = 300
"""The chart's."""
IDLE_SECONDS = 60
PATIENCE_SECONDS = 600
LOOK_SECONDS = 5
"""How often the metrics are read. Prometheus reads them every 30 seconds."""
TRIGGERS = 20
MIB = 2**20


class Watched:
    """An operator process as its metrics and /proc show it."""

    def __init__(self, process: OperatorProcess) -> None:
        self._url = f"http://127.0.0.1:{process.port}"
        self._proc = Path("/proc") / str(process.process.pid)

    def samples(self) -> list[tuple[str, float]]:
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return [(line.rsplit(" ", 1)[0], float(line.rsplit(" ", 1)[1])) for line in lines if not line.startswith("#")]

    def is_at_rest(self, schedules: int) -> bool:
        """Everything was listed, each schedule has had a pass, and nothing waits for one."""
        if not self._is_ready():
            return False
        seen = self.samples()
        told = sum(name.startswith("quotenode_backup_stale_after_seconds{") for name, _ in seen)
        return told >= schedules and dict(seen)["quotenode_backup_queue_depth"] == 0

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=10):
                return True
        except OSError:
            return False

    def begun_since(self, moment: float) -> int:
        """How many schedules have had a run made since then, in seconds of the epoch."""
        last = "quotenode_backup_last_attempt_timestamp_seconds{"
        return sum(value >= moment for name, value in self.samples() if name.startswith(last))

    @property
    def passes(self) -> float:
        return sum(value for name, value in self.samples() if name.startswith("quotenode_backup_reconciles_total"))

    @property
    def cpu_seconds(self) -> float:
        return sum(int(ticks) for ticks in self._stat()[11:13]) / os.sysconf("SC_CLK_TCK")

    def _stat(self) -> list[str]:
        return (self._proc / "stat").read_text().rpartition(")")[2].split()

    def memory(self, kind: str) -> float:
        """MiB; `kind` as /proc/PID/status has it."""
        lines = (self._proc / "status").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{kind}:"))) / 1024


@contextmanager
def operator(namespace: str, folder: Path, resync_seconds: int) -> Iterator[Watched]:
    log = folder / f"{namespace}.log"
    with OperatorProcess(namespace, log, QN_RESYNC_SECONDS=str(resync_seconds), QN_LOG_LEVEL="INFO") as process:
        yield Watched(process)


@asynccontextmanager
async def namespace_of_its_own(connection: Connection, name: str) -> AsyncIterator[str]:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await connection.write("POST", "/api/v1/namespaces", body)
    try:
        yield name
    finally:
        await connection.write("DELETE", f"/api/v1/namespaces/{name}")


async def until(look: Callable[[], bool], what: str) -> float:
    """Seconds until it is so. A scrape of thousands of samples costs the operator something, so it is not asked too often."""
    started = time.monotonic()
    while not look():
        if time.monotonic() - started > PATIENCE_SECONDS:
            raise TimeoutError(f"after {PATIENCE_SECONDS} s still not so: {what}")
        await asyncio.sleep(LOOK_SECONDS)
    return time.monotonic() - started


async def idle_share(watched: Watched) -> float:
    """Percent of one core."""
    before = watched.cpu_seconds
    await asyncio.sleep(IDLE_SECONDS)
    return 100 * (watched.cpu_seconds - before) / IDLE_SECONDS


async def alone(connection: Connection, folder: Path, mark: str) -> list[Bound]:
    async with namespace_of_its_own(connection, f"qn-scale-none-{mark}") as namespace:
        with operator(namespace, folder, RESYNC_SECONDS) as watched:
            await until(lambda: watched.is_at_rest(0), "the operator is at rest")
            idle = await idle_share(watched)
            return [
                Bound("nothing to do: memory", watched.memory("VmRSS"), 90, "MiB"),
                Bound("nothing to do: idle processor, of one core", idle, 2, "%"),
            ]


async def crowded(connection: Connection, folder: Path, mark: str, schedules: int, runs: int) -> list[Bound]:
    async with namespace_of_its_own(connection, f"qn-scale-{mark}") as namespace:
        with step(f"making {schedules} schedules and {runs} finished runs"):
            uids = await fill(connection, namespace, schedules, runs)
        with operator(namespace, folder, RESYNC_SECONDS) as watched:
            first = await until(lambda: watched.is_at_rest(schedules), "each schedule was looked at")
            worked = watched.cpu_seconds
            idle = await idle_share(watched)
            memory, peak = watched.memory("VmRSS"), watched.memory("VmHWM")
        return [
            Bound("start -> each new schedule looked at", first, 180, "s", note=f"{worked:.1f} s of a processor"),
            Bound("memory after it", memory, 200, "MiB", note=f"{peak:.0f} MiB at most"),
            Bound("idle processor, of one core", idle, 2, "%"),
            *await restarted(connection, namespace, folder, uids),
            *await come_due(connection, namespace, folder, uids),
        ]


async def restarted(connection: Connection, namespace: str, folder: Path, uids: dict[str, str]) -> list[Bound]:
    """As after an upgrade. Then a resync, made often here so that it need not be waited for, and triggers beside further ones."""
    with operator(namespace, folder, resync_seconds=30) as watched:
        again = await until(lambda: watched.is_at_rest(len(uids)), "each schedule was looked at")
        worked = watched.cpu_seconds
        wanted = watched.passes + len(uids)
        await until(lambda: watched.passes >= wanted and watched.is_at_rest(len(uids)), "a resync is over")
        cost = watched.cpu_seconds - worked
        took = await trigger_each(connection, namespace, uids, list(uids)[:TRIGGERS])
    each = f"{cost:.1f} s each {RESYNC_SECONDS} s"
    return [
        Bound("restart -> each schedule looked at", again, 60, "s", note=f"{worked:.1f} s of a processor"),
        Bound("resyncs, of one core", 100 * cost / RESYNC_SECONDS, 5, "%", note=each),
        Bound("spec.trigger -> run made, p95", p95(took), 1, "s", note=f"{took[0]:.2f} s at best"),
    ]


async def come_due(connection: Connection, namespace: str, folder: Path, uids: dict[str, str]) -> list[Bound]:
    """The same slot for all but a few, each with a database of its own; then most runs wait for room, and the few are triggered."""
    few, many = list(uids)[TRIGGERS : 2 * TRIGGERS], list(uids)[2 * TRIGGERS :]
    with operator(namespace, folder, RESYNC_SECONDS) as watched:
        await until(lambda: watched.is_at_rest(len(uids)), "each schedule was looked at")
        slot = await schedule_all(connection, namespace, many, minutes=4)
        await until(lambda: time.time() > slot, "the slot has come")
        await until(lambda: watched.begun_since(slot) >= len(many), "each has its run")
        made = time.time() - slot
        waiting = await idle_share(watched)
        took = await trigger_each(connection, namespace, uids, few)
        return [
            Bound(f"{len(many)} slots at once -> each has its run", made, 120, "s"),
            Bound("at work on them, ten at a time, of one core", waiting, 50, "%"),
            Bound("spec.trigger beside it -> run made, p95", p95(took), 2, "s", note=f"{took[0]:.2f} s at best"),
            Bound("memory at most", watched.memory("VmHWM"), 200, "MiB"),
        ]


def p95(took: list[float]) -> float:
    """Of sorted ones."""
    return took[int(len(took) * 0.95) - 1]


async def trigger_each(connection: Connection, namespace: str, uids: dict[str, str], names: list[str]) -> list[float]:
    """One after another, the fastest first."""
    return sorted([await trigger(connection, namespace, name, uids[name]) for name in names])


async def trigger(connection: Connection, namespace: str, name: str, uid: str) -> float:
    """Seconds from the edit to the run."""
    made = path(namespace, trigger_run_name(name, uid, "now"))
    await connection.write("PATCH", path(namespace, name), {"spec": {"trigger": "now"}}, MERGE_PATCH)
    started = time.monotonic()
    while True:
        try:
            await connection.read(made)
        except NotFound:
            if time.monotonic() - started > PATIENCE_SECONDS:
                raise
            await asyncio.sleep(0.01)
        else:
            return time.monotonic() - started


async def measure(schedules: int, runs: int) -> list[Bound]:
    mark = f"{int(time.time()):x}"
    with tempfile.TemporaryDirectory() as folder:
        async with connected() as connection:
            bounds = await alone(connection, Path(folder), mark)
            return bounds + await crowded(connection, Path(folder), mark, schedules, runs)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000, metavar="N")
    parser.add_argument("--runs", type=int, default=4000, metavar="N", help="finished runs")
    chosen = parser.parse_args()
    kubectl("apply", "--server-side", "--force-conflicts", f"--filename={ROOT / 'crds'}")
    bounds = asyncio.run(measure(chosen.schedules, chosen.runs))
    return 1 if report(f"One operator, {chosen.schedules} schedules, {chosen.runs} finished runs", bounds) else 0


if __name__ == "__main__":
    sys.exit(main())
