"""Operators: the one that the chart installs for most stories, and processes of this machine for those that kill it."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import engine as engines
from tests.cluster.cache import Cache, default_root
from tests.e2e.forks import Fork, Forks
from tests.e2e.kubectl import kubectl
from tests.e2e.waiting import eventually
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
RELEASE = "quotenode-backup-operator"
SYSTEM = "quotenode-system"
IMAGE = "localhost/quotenode-backup-operator:dev"


def install(namespaces: Sequence[str], system: str = SYSTEM) -> None:
    """The chart, watching these namespaces, with the image as it is now. In another namespace it is one more release, without the CRD."""
    identity = engines.choose(Cache(default_root())).image_id(IMAGE)
    watched = ",".join(namespaces)
    values = (
        *("watch.allNamespaces=false", f"watch.namespaces={{{watched}}}", "image.tag=dev", "log.level=DEBUG"),
        "controller.maxConcurrentRuns=0",  # else stories would wait for those of other files
    )
    more = () if system == SYSTEM else ("crds.install=false",)
    subprocess.run(
        [
            *("helm", "upgrade", "--install", RELEASE, ROOT / "helm" / RELEASE),
            *("--namespace", system, "--create-namespace", "--take-ownership", "--wait", "--timeout", "180s"),
            *(f"--set={value}" for value in (*values, *more)),
            *("--set-string", f"podAnnotations.image={identity}"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def uninstall(system: str) -> None:
    subprocess.run(
        ["helm", "uninstall", RELEASE, "--namespace", system, "--wait"], check=True, stdout=subprocess.DEVNULL
    )


def scale(replicas: int) -> None:
    """Stop the installed operator, or start it again."""
    kubectl("scale", f"--namespace={SYSTEM}", f"deployment/{RELEASE}", f"--replicas={replicas}")
    kubectl("rollout", "status", f"--namespace={SYSTEM}", f"deployment/{RELEASE}", "--timeout=120s", timeout=130)


def started(environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "quotenode_backup", "operator"]
    with log.open("ab") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)


class OperatorProcess:
    """An operator of its own for one namespace, outside the cluster: it can be killed and started in no time.

    With `forks` it is not started from nothing, but is a copy of a process that waits for this.
    """

    def __init__(self, namespace: str, log: Path, forks: Forks | None = None, **settings: str) -> None:
        self._log = log
        self.port = free_port()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "QN_RUNNER_IMAGE": IMAGE,
            "QN_WATCH_NAMESPACES": namespace,
            "QN_HTTP_PORT": str(self.port),
            "QN_LOG_FORMAT": "text",
            "QN_LOG_LEVEL": "DEBUG",
            **settings,
        }
        self.process = Fork(forks, environment, log) if forks else started(environment, log)

    def __enter__(self) -> "OperatorProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, within: float) -> int:
        """The exit code, negative for a signal."""
        return self.process.wait(within)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def said(self, words: str, within: float = 30) -> None:
        eventually(lambda: words in self.log, f"the operator says {words!r}", within)
