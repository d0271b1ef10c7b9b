"""The QuoteNode of examples/, as a test sees it: deployed in a namespace of its own, looked at, changed and broken."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[3] / "examples"
END = "end-of-answer"
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
        """As superuser, stopping at the first error. A question is asked again when its answer was lost on the way (see `claims.run_on`)."""
        options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
        for _ in range(3 if script.lstrip().startswith("SELECT") else 1):
            said = self.in_database_pod("psql", *options, database=database, stdin=f"{script};\n\\echo {END}\n").strip()
            if said.endswith(END):
                return said.removesuffix(END).strip()
        raise AssertionError(f"kubectl exec lost what psql said to: {script}")

    def in_database_pod(self, *command: str, database: str, stdin: str = "", timeout: float = 60) -> str:
        environment = ("env", f"PGDATABASE={database}", "PGUSER=postgres")
        whole = ("exec", "--stdin", DATABASE_POD, "--", *environment, *command)
        return self.kubectl(*whole, stdin=stdin, timeout=timeout)

    def database_fingerprint(self, database: str = "quotenode") -> list[str]:
        return self.in_database_pod("fingerprint", "database", database=database).splitlines()

    def files_fingerprint(self, *paths: str) -> list[str]:
        tree = ("fingerprint", "tree", "/app/data", *(paths or ("uploads", "pdfs")))
        return self.kubectl("exec", BACKEND, "--container=backend", "--", *tree).splitlines()

    def set_writes_per_second(self, rate: float) -> None:
        """After 0 the data stands still."""
        self.kubectl(
            "replace", f"--raw={self._backend}/writer", "--filename=-", stdin=json.dumps({"writesPerSecond": rate})
        )

    def create_offer(self, note: str) -> dict[str, Any]:
        body = json.dumps({"note": note})
        made = self.kubectl("create", f"--raw={self._backend}/offers", "--filename=-", stdin=body)
        return dict(json.loads(made))

    def offers_written(self) -> int:
        return int(json.loads(self.kubectl("get", f"--raw={self._backend}/writer"))["written"])

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


def _manifests(settings: dict[str, str]) -> Iterator[dict[str, Any]]:
    for manifest in _read(sorted((EXAMPLES / "quotenode").glob("*.yaml"))):
        if manifest["kind"] == "ConfigMap":
            manifest["data"] |= settings
        yield manifest


def _read(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        yield from yaml.safe_load_all(file.read_text(encoding="utf-8"))
