"""Programs built from Go modules, pinned by version and checked by Go's checksum database."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import packages, versions
from .cache import Cache, key_of
from .shell import HarnessError, run, step

GO_ENV = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""}
KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubeadm",
    "kubectl",
)


@dataclass(frozen=True)
class Program:
    name: str
    package: str
    version: str
    stamp: str = ""  # the linker's -X option by which the program learns its own version

    @property
    def flags(self) -> str:
        return f"-s -w {self.stamp}".strip()


KIND = Program("kind", "sigs.k8s.io/kind", versions.KIND)
HELM = Program(
    "helm",
    "helm.sh/helm/v3/cmd/helm",
    versions.HELM,
    f"-X helm.sh/helm/v3/internal/version.version={versions.HELM}",
)
ETCD = Program("etcd", "go.etcd.io/etcd/server/v3", versions.ETCD)
COREDNS = Program("coredns", "github.com/coredns/coredns", versions.COREDNS)
LOCAL_PATH_PROVISIONER = Program(
    "local-path-provisioner",
    "github.com/rancher/local-path-provisioner",
    versions.LOCAL_PATH_PROVISIONER,
    f"-X main.VERSION={versions.LOCAL_PATH_PROVISIONER}",
)
RCLONE = Program(
    "rclone",
    "github.com/rclone/rclone",
    versions.RCLONE,
    f"-X github.com/rclone/rclone/fs.Version={versions.RCLONE}",
)
RESTIC = Program("restic", "github.com/restic/restic/cmd/restic", versions.RESTIC)


def require_go() -> None:
    """Any Go since 1.21 fetches by itself the newer one that a module asks for."""
    if shutil.which("go") is None:
        packages.require(["golang-go"], "to build what no registry can give")
    found = re.search(r"go(\d+)\.(\d+)", run(["go", "version"]))
    if found is None or (int(found[1]), int(found[2])) < versions.MINIMUM["go"]:
        raise HarnessError("Go 1.21 or newer is needed to build the node image. Put one first on PATH.")


def built(cache: Cache, program: Program) -> Path:
    """The program's executable, compiled once for each version.

    It is built from a module of its own: `go install` refuses programs whose go.mod replaces modules.
    """

    def make(folder: Path) -> None:
        require_go()
        with cache.scratch() as module, step(f"building {program.name} {program.version}"):
            run(["go", "mod", "init", "quotenode.local/build"], cwd=module, env=GO_ENV)
            run(["go", "get", f"{program.package}@{program.version}"], cwd=module, env=GO_ENV)
            target = ["-o", f"{folder / program.name}", program.package]
            run(["go", "build", "-ldflags", program.flags, *target], cwd=module, env=GO_ENV)

    key = key_of(program.package, program.version, program.flags)
    return cache.artifact(f"go/{program.name}", key, make) / program.name


def module_source(module: str, version: str) -> Path:
    """Where Go keeps the (read-only) files of a module."""
    require_go()
    return Path(json.loads(run(["go", "mod", "download", "-json", f"{module}@{version}"], env=GO_ENV))["Dir"])


def kubernetes(cache: Cache) -> Path:
    """The folder with all programs of one Kubernetes version."""

    def make(folder: Path) -> None:
        staging = staging_modules((module_source("k8s.io/kubernetes", versions.KUBERNETES) / "go.mod").read_text())
        with cache.scratch() as module, step(f"building Kubernetes {versions.KUBERNETES} (about 8 minutes)"):
            (module / "go.mod").write_text(kubernetes_go_mod(versions.KUBERNETES, staging))
            run(["go", "mod", "tidy"], cwd=module, env=GO_ENV)
            flags = kubernetes_flags(versions.KUBERNETES)
            target = ["-o", f"{folder}/", *map(kubernetes_package, KUBERNETES_PROGRAMS)]
            run(["go", "build", "-ldflags", flags, *target], cwd=module, env=GO_ENV)

    key = key_of(versions.KUBERNETES, kubernetes_flags(versions.KUBERNETES), *KUBERNETES_PROGRAMS)
    return cache.artifact("go/kubernetes", key, make)


def kubernetes_package(program: str) -> str:
    return f"k8s.io/kubernetes/cmd/{program}"


def staging_modules(go_mod: str) -> list[str]:
    """The modules that Kubernetes develops in its own tree and publishes one by one as v0.x."""
    return sorted(set(re.findall(r"^\s*(k8s\.io/\S+) => \./staging/", go_mod, re.MULTILINE)))


def kubernetes_go_mod(version: str, staging: list[str]) -> str:
    published = f"v0.{version.removeprefix('v1.')}"
    tools = "\n".join(f"tool {kubernetes_package(program)}" for program in KUBERNETES_PROGRAMS)
    replaced = "\n".join(f"replace {module} => {module} {published}" for module in staging)
    return f"module quotenode.local/kubernetes\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes {version}\n\n{tools}\n\n{replaced}\n"


def kubernetes_flags(version: str) -> str:
    major, minor, _ = version.removeprefix("v").split(".")
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps.items())
