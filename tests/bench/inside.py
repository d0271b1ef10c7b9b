"""The data path, measured inside a container of the shipped image: `python3 -m tests.bench.inside MEGABYTES ROUNDS`.

The same database and the same files, once by the procedure of QuoteNode's handbook typed by hand, once by restic, once by the runner, and
once by the least that any of them must do.
"""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench import data
from tests.bench.table import Bound, report

BENCH = Path("/bench")
FILES = BENCH / "files"
WORK = BENCH / "work"
PORT = "5432"
RUNNER_USER = 10001
PASSWORD = "only-in-this-container"


def main(size: int, rounds: int) -> int:
    print(f"Making {size} MB of database and {size} MB of files", flush=True)
    data.make_database(BENCH / "pg", size, PASSWORD)
    data.make_files(FILES, size)
    os.environ |= {"PGHOST": "127.0.0.1", "PGUSER": "quotenode", "PGPASSWORD": PASSWORD, "PGDATABASE": "quotenode"}
    runner = Runner()
    floor = measured("floor: pg_dump -Z0, tar, and one write", floor_time, rounds)
    ours = measured("runner", runner.once, rounds)
    restic = measured("restic, first run", restic_time, rounds)
    by_hand = measured("by hand: pg_dump, tar czf, sha256sum, tar czf", by_hand_time, 1)
    return report(
        "The data path",
        [
            Bound("by hand / runner", by_hand / ours, 8, "times", at_least=True),
            Bound("restic / runner", restic / ours, 2, "times", at_least=True),
            Bound("runner / floor", ours / floor, 2, "times"),
            Bound("memory of the runner's processes", runner.peak / 2**20, 200, "MiB"),
        ],
    )


def measured(what: str, once: Callable[[], float], rounds: int) -> float:
    """The median of some runs, in seconds, each on an empty folder with nothing left to write from before."""
    times = []
    for _ in range(rounds):
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir()
        WORK.chmod(0o777)
        os.sync()
        times.append(once())
    median = statistics.median(times)
    print(f"  {what:<48} {median:7.1f} s   ({', '.join(f'{t:.1f}' for t in times)})", flush=True)
    return median


def timed(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def sh(command: str) -> None:
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, cwd=WORK)


def by_hand_time() -> float:
    return timed(
        lambda: sh(
            "pg_dump --format=custom --file=backup.dump && tar czf files.tar.gz -C /bench/files ."
            " && sha256sum backup.dump files.tar.gz > checksums.sha256"
            " && tar czf bundle.tar.gz backup.dump files.tar.gz checksums.sha256"
        )
    )


def restic_time() -> float:
    os.environ |= {"RESTIC_REPOSITORY": str(WORK / "repository"), "RESTIC_PASSWORD": PASSWORD}
    sh("restic init --quiet")
    return timed(
        lambda: sh(
            "restic backup --quiet --no-cache /bench/files"
            " && restic backup --quiet --no-cache --stdin-filename backup.dump"
            " --stdin-from-command -- pg_dump --format=custom --compress=none"
        )
    )


def floor_time() -> float:
    """The slower of the two reads, and one write of what the runner stores."""
    dump = timed(lambda: sh("pg_dump --format=custom --compress=none > /dev/null"))
    files = timed(lambda: sh("tar cf - -C /bench/files . | cat > /dev/null"))
    size = data.folder_size(FILES) + data.DUMP_RATIO * data.database_size()
    write = timed(lambda: sh(f"head -c {int(size)} /dev/zero | dd of=written bs=1M conv=fsync status=none"))
    return max(dump, files) + write


class Runner:
    """The shipped runner with a plan, laid out as its pod has it."""

    def __init__(self) -> None:
        self.peak = 0
        for path, secret in (("username", "quotenode"), ("password", PASSWORD)):
            file = Path("/secrets/database") / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(secret)
        Path("/source").mkdir(exist_ok=True)
        Path("/source/0").symlink_to(FILES)
        Path("/run/quotenode").mkdir(exist_ok=True)
        os.chown("/run/quotenode", RUNNER_USER, RUNNER_USER)
        Path("/plan").mkdir(exist_ok=True)
        Path("/destination").symlink_to(WORK)
        Path("/dev/termination-log").touch()
        Path("/dev/termination-log").chmod(0o666)

    def once(self) -> float:
        text = json.dumps(plan()).encode()
        Path("/plan/plan.json").write_bytes(text)
        start = time.monotonic()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        process = subprocess.Popen(
            ["python3", "-m", "quotenode_backup", "backup", hashlib.sha256(text).hexdigest()],
            user=RUNNER_USER,
            group=RUNNER_USER,
            env=environment | {"POD_UID": str(uuid.uuid4()), "POD_NAME": "bench", "QN_LOG_FORMAT": "text"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        watcher = threading.Thread(target=self._watch_memory, args=(process,))
        watcher.start()
        said, _ = process.communicate()
        took = time.monotonic() - start
        watcher.join()
        if process.returncode != 0:
            sys.exit(f"The runner failed:\n{said}\n{Path('/dev/termination-log').read_text()}")
        return took

    def _watch_memory(self, process: "subprocess.Popen[str]") -> None:
        while process.poll() is None:
            self.peak = max(self.peak, memory_below(process.pid))
            time.sleep(0.05)


def memory_below(pid: int) -> int:
    """Proportional memory of a process and all below it, in bytes: shared pages count once."""
    total, waiting = 0, [pid]
    while waiting:
        current = waiting.pop()
        try:
            rollup = Path(f"/proc/{current}/smaps_rollup").read_text()
            tasks = list(Path(f"/proc/{current}/task").iterdir())
            for task in tasks:
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def plan() -> dict[str, object]:
    now = datetime.now(UTC)
    return {
        "version": 1,
        "runUid": str(uuid.uuid4()),
        "namespace": "bench",
        "name": "bench",
        "attempt": 1,
        "initiatedBy": "Admin",
        "started": now.isoformat(),
        "deadline": (now + timedelta(hours=1)).isoformat(),
        "database": {
            "host": "127.0.0.1",
            "port": int(PORT),
            "name": "quotenode",
            "sslMode": "prefer",
            "compression": "Zstd",
            "credentialsSecret": "bench",
            "usernameKey": "username",
            "passwordKey": "password",
        },
        "files": [{"name": ".", "claimName": "files", "subPath": ""}],
        "local": {"claimName": "backups", "subPath": ""},
    }


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
