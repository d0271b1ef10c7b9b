"""The kind cluster itself: made, joined up, found healthy, or removed."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from . import network, nodeimage, tools
from .cache import Cache
from .engine import Engine
from .shell import HarnessError, run, say, step

FILES = Path(__file__).parent / "files"
DEFAULT_NAME = "quotenode"
NODE_COUNT = 2
READY_SECONDS = 180


def chosen_name() -> str:
    return os.environ.get("QN_CLUSTER_NAME", DEFAULT_NAME)


@dataclass(frozen=True)
class Cluster:
    name: str
    cache: Cache
    engine: Engine

    @property
    def kubeconfig(self) -> Path:
        """The default cluster's is called just `kubeconfig`."""
        suffix = "" if self.name == DEFAULT_NAME else f"-{self.name}"
        return self.cache.root / f"kubeconfig{suffix}"

    @property
    def nodes(self) -> list[str]:
        return [f"{self.name}-control-plane", f"{self.name}-worker"]

    def kind(self, *arguments: str | Path) -> str:
        return run([tools.provide(self.cache, "kind"), *arguments], env=self.engine.env)

    def kubectl(self, *arguments: str, timeout: float = 30) -> str:
        kubectl = tools.provide(self.cache, "kubectl")
        limit = f"--request-timeout={timeout:.0f}s"
        return run([kubectl, "--kubeconfig", self.kubeconfig, limit, *arguments], timeout=timeout + 10)

    def exists(self) -> bool:
        return self.name in self.kind("get", "clusters").split()

    def answers(self) -> bool:
        """Whether its API server answers and knows both nodes: a creation broken off leaves less."""
        if not self.kubeconfig.exists():
            return False
        for pause in (2, 5, 0):  # a cluster that gives no answer is removed
            if self._knows_its_nodes():
                return True
            time.sleep(pause)
        return False

    def _knows_its_nodes(self) -> bool:
        try:
            return len(self.kubectl("get", "nodes", "--output", "name", timeout=10).split()) == NODE_COUNT
        except HarnessError:
            return False

    def ensure(self) -> None:
        if not self.exists():
            self.create()
        elif not self.answers():
            say(f"--> cluster {self.name} is half made or broken: making it anew")
            self.delete()
            self.create()
        self.connect()
        self.wait_until_ready()

    def create(self) -> None:
        image = nodeimage.provide(self.cache, self.engine)
        settings = "kind-own-network.yaml" if nodeimage.is_built_here(image) else "kind.yaml"
        options: list[str | Path] = ["--name", self.name, "--image", image, "--kubeconfig", self.kubeconfig]
        with step(f"creating the cluster {self.name} ({NODE_COUNT} nodes)"):
            self.kind("create", "cluster", *options, "--config", FILES / settings)

    def connect(self) -> None:
        """Routes live in the nodes' memory, so they are set again each time."""
        if not self.has_own_network():
            return
        deadline = time.monotonic() + READY_SECONDS
        while len(nodes := network.nodes_from(self.kubectl("get", "nodes", "--output", "json"))) < NODE_COUNT:
            if time.monotonic() > deadline:
                raise HarnessError(f"The nodes of {self.name} got no address range within {READY_SECONDS} s.")
            time.sleep(0.2)
        network.connect(self.engine, nodes)

    def has_own_network(self) -> bool:
        image = self.engine("inspect", "--format", "{{.Config.Image}}", self.nodes[0]).strip()
        return nodeimage.is_built_here(image)

    def wait_until_ready(self) -> None:
        limit = f"--timeout={READY_SECONDS}s"
        with step("waiting for nodes, DNS and storage"):
            self.kubectl("wait", "node", "--all", "--for=condition=Ready", limit, timeout=READY_SECONDS)
            for namespace, deployment in (("kube-system", "coredns"), ("local-path-storage", "local-path-provisioner")):
                status = ["rollout", "status", f"deployment/{deployment}", "--namespace", namespace, limit]
                self.kubectl(*status, timeout=READY_SECONDS)
            self.kubectl("get", "storageclass", "standard")

    def delete(self) -> None:
        with step(f"removing the cluster {self.name}"):
            self.kind("delete", "cluster", "--name", self.name, "--kubeconfig", self.kubeconfig)
        self.kubeconfig.unlink(missing_ok=True)
