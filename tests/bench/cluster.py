"""How long the operator takes, measured on the cluster: from `kubectl apply` to the Job, and to the end, on a tiny database.

Two watches on this machine tell when each thing was seen, so the clocks of the cluster do not matter.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.table import Bound

ROOT = Path(__file__).parents[2]
NAMESPACE = "qn-bench"
SYSTEM = "quotenode-system"
RUNS = 15
PATIENCE_SECONDS = 180
TRIVIAL_JOB = {
    "restartPolicy": "Never",
    "containers": [
        {
            "name": "true",
            "image": "localhost/quotenode-backup-operator:dev",
            "command": ["true"],
            "imagePullPolicy": "Never",
        }
    ],
}


def latencies() -> list[Bound]:
    _start_quotenode()
    with _watching("quotenodebackups") as backups, _watching("jobs") as jobs:
        runs = [_one_backup(f"bench-{int(time.time())}-{number}", backups, jobs) for number in range(RUNS)]
        trivial = [_one_trivial_job(f"true-{int(time.time())}-{number}", jobs) for number in range(RUNS)]
    to_job = sorted(run[0] for run in runs)
    to_end = _median([run[1] for run in runs])
    return [
        Bound("resource applied -> Job created, p95", to_job[int(len(to_job) * 0.95)], 1, "s"),
        Bound(
            "resource applied -> Completed / a Job of `true`",
            to_end / _median(trivial),
            2,
            "times",
            note=f"{to_end:.1f} s",
        ),
        Bound("memory of the operator, idle", _operator_memory() / 2**20, 90, "MiB"),
    ]


def kubectl(*arguments: str, given: str | None = None) -> str:
    command = ["kubectl", *arguments]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, input=given).stdout


def _start_quotenode() -> None:
    namespace = kubectl("create", "namespace", NAMESPACE, "--dry-run=client", "--output=json")
    kubectl("apply", "--filename=-", given=namespace)
    for path in sorted((ROOT / "examples" / "quotenode").glob("*.yaml")):
        kubectl("apply", "-n", NAMESPACE, "--filename=-", given=path.read_text().replace("SCALE: demo", "SCALE: tiny"))
    wanted = ("statefulset/quotenode-db", "deployment/backend", "deployment/backup-worker")
    for workload in wanted:
        kubectl("rollout", "status", "-n", NAMESPACE, f"--timeout={PATIENCE_SECONDS}s", workload)


class Watch:
    """What has been seen of each object, and when."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, dict[str, Any]]] = []
        self._news = threading.Condition()

    def tell(self, body: dict[str, Any]) -> None:
        with self._news:
            self._seen.append((time.monotonic(), body))
            self._news.notify_all()

    def first(self, what: Callable[[dict[str, Any]], bool]) -> float:
        """When an object was first seen of which `what` is true."""
        with self._news:
            self._news.wait_for(lambda: any(what(body) for _, body in self._seen), PATIENCE_SECONDS)
            return next(when for when, body in self._seen if what(body))


@contextmanager
def _watching(plural: str) -> Iterator[Watch]:
    command = ["kubectl", "get", plural, "-n", NAMESPACE, "--watch", "--output=json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watch = Watch()
    threading.Thread(target=_read, args=(process, watch), daemon=True).start()
    try:
        yield watch
    finally:
        process.terminate()
        process.wait()


def _read(process: "subprocess.Popen[str]", watch: Watch) -> None:
    """kubectl prints indented objects one after the other; each ends with a brace in the first column."""
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        if line.rstrip("\n") == "}":
            watch.tell(json.loads("".join(lines)))
            lines = []


def _one_backup(name: str, backups: Watch, jobs: Watch) -> tuple[float, float]:
    text = (ROOT / "examples" / "01-backup.yaml").read_text().replace("name: first", f"name: {name}")
    kubectl("apply", "-n", NAMESPACE, "--filename=-", given=text)
    applied = backups.first(lambda body: _is(body, name))
    created = jobs.first(lambda body: body["metadata"].get("labels", {}).get("backup.quotenode.io/run") == name)
    ended = backups.first(lambda body: _is(body, name) and body.get("status", {}).get("phase") == "Completed")
    return created - applied, ended - applied


def _one_trivial_job(name: str, jobs: Watch) -> float:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": TRIVIAL_JOB}, "ttlSecondsAfterFinished": 60},
    }
    kubectl("apply", "-n", NAMESPACE, "--filename=-", given=json.dumps(job))
    applied = jobs.first(lambda body: _is(body, name))
    return jobs.first(lambda body: _is(body, name) and bool(body.get("status", {}).get("completionTime"))) - applied


def _is(body: dict[str, Any], name: str) -> bool:
    return bool(body["metadata"]["name"] == name)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _operator_memory() -> float:
    """Bytes, as the operator's own metrics say."""
    path = f"/api/v1/namespaces/{SYSTEM}/services/quotenode-backup-operator:http/proxy/metrics"
    for line in kubectl("get", "--raw", path).splitlines():
        if line.startswith("process_resident_memory_bytes "):
            return float(line.split()[1])
    raise LookupError("the operator tells no process_resident_memory_bytes")
