"""The QuoteNode of examples/, as a test sees it: deployed in a namespace of its own, looked at, changed and broken."""

import json
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.answers import answer
from tests.e2e.volumes import CLASS
from tests.e2e.waiting import eventually

EXAMPLES = Path(__file__).parents[3] / "examples"
DATABASE_POD = "quotenode-db-0"
BACKEND = "deployment/backend"


@dataclass(frozen=True)
class QuoteNode:
    namespace: str

    def deploy(self, *, scale: str = "tiny", file_kib: int = 1, writes_per_second: float = 0) -> None:
        """Small and quiet unless asked otherwise. Returns when it answers."""
        settings = {
            "SCALE": scale,
            "FILE_KIB": str(file_kib),
            "WRITES_PER_SECOND": str(writes_per_second),
        }
        self.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(_manifests(settings)))
        workloads = ("statefulset/quotenode-db", BACKEND, "deployment/backup-worker")
        self.kubectl("rollout", "status", "--timeout=240s", *workloads, timeout=250)

    def psql(self, script: str, *, database: str = "quotenode") -> str:
        """As superuser, stopping at the first error."""
        options = "--no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1"
        asked = f"printf '%s;\\n' {shlex.quote(script)} | psql {options}"
        return answer(partial(self.in_database_pod, database=database), asked).strip()

    def in_database_pod(self, *command: str, database: str, stdin: str = "", timeout: float = 60) -> str:
        environment = ("env", f"PGDATABASE={database}", "PGUSER=postgres")
        whole = ("exec", "--stdin", DATABASE_POD, "--", *environment, *command)
        return self.kubectl(*whole, stdin=stdin, timeout=timeout)

    def database_fingerprint(self, database: str = "quotenode") -> list[str]:
        return answer(partial(self.in_database_pod, database=database), "fingerprint database").splitlines()

    def files_fingerprint(self, *paths: str) -> list[str]:
        """Asked again until it is whole (see `answers`): the backend can write nothing down."""
        tree = shlex.join(["fingerprint", "tree", "/app/data", *(paths or ("uploads", "pdfs"))])
        ask = ("exec", BACKEND, "--container=backend", "--", "sh", "-euc", f"{tree}; echo whole")
        *lines, _ = eventually(lambda: _whole(self.kubectl(*ask).splitlines()), "the files are fingerprinted", 60)
        return lines

    def set_writes_per_second(self, rate: float) -> None:
        """After 0 the data stands still."""
        self.kubectl(
            "replace", f"--raw={self._backend}/writer", "--filename=-", stdin=json.dumps({"writesPerSecond": rate})
        )

    def create_offer(self, note: str) -> dict[str, Any]:
        body = json.dumps({"note": note})
        made = self.kubectl("create", f"--raw={self._backend}/offers", "--filename=-", stdin=body)
        return dict(json.loads(made))

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 60) -> str:
        command = ["kubectl", f"--namespace={self.namespace}", *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, errors="surrogateescape", timeout=timeout
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments[:3])}: {done.stderr.strip()}"
        return done.stdout

    @property
    def _backend(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/services/backend:http/proxy"


def _whole(lines: list[str]) -> list[str]:
    return lines if lines[-1:] == ["whole"] else []


def _manifests(settings: dict[str, str]) -> Iterator[dict[str, Any]]:
    for manifest in _read(sorted((EXAMPLES / "quotenode").glob("*.yaml"))):
        if manifest["kind"] == "ConfigMap":
            manifest["data"] |= settings
        if manifest["kind"] == "StatefulSet":
            _ask_seldom(manifest["spec"]["template"]["spec"]["containers"][0])
        for claim in _claims(manifest):
            claim["spec"]["storageClassName"] = CLASS
        yield manifest


def _claims(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    if manifest["kind"] == "PersistentVolumeClaim":
        return [manifest]
    return list(manifest.get("spec", {}).get("volumeClaimTemplates", []))


def _ask_seldom(container: dict[str, Any]) -> None:
    """Whether the database is ready is a process in its pod each time: once a second until it is, then no more than needed.

    It still counts as ready until three such processes have failed: on a busy machine one of them can be late, and nobody reaches a
    database then. The stories that take it away end its container or its pod, which counts at once.
    """
    probe = container["readinessProbe"]
    container["startupProbe"] = {**probe, "failureThreshold": 300}
    container["readinessProbe"] = {**probe, "periodSeconds": 20}


def _read(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        yield from yaml.safe_load_all(file.read_text(encoding="utf-8"))
