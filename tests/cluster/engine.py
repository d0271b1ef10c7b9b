"""The container engine: a Docker that works is used as it is, else podman under our own configuration."""

import os
import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import bases, packages
from .cache import Cache
from .shell import HarnessError, run, say, succeeds

PODMAN_PACKAGES = ("podman", "runc", "netavark", "aardvark-dns", "catatonit", "iptables")
HYBRID_CGROUPS = Path("/sys/fs/cgroup/unified")
KERNEL_MODULES = Path("/lib/modules")
PID_MAX = Path("/proc/sys/kernel/pid_max")


@dataclass(frozen=True)
class Engine:
    name: str
    env: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, timeout: float | None = None) -> str:
        return run([self.name, *arguments], env=self.env, timeout=timeout)

    def try_to(self, *arguments: str | Path, timeout: float | None = None) -> bool:
        return succeeds([self.name, *arguments], env=self.env, timeout=timeout)

    def has_image(self, image: str) -> bool:
        return self.try_to("image", "inspect", image)

    def image_id(self, image: str) -> str:
        return self("image", "inspect", "--format", "{{.Id}}", image).strip()

    def label(self, image: str, label: str) -> str | None:
        """None when there is no such image."""
        if not self.has_image(image):
            return None
        return self("image", "inspect", "--format", f'{{{{index .Config.Labels "{label}"}}}}', image).strip()

    def build(self, context: Path, image: str, *options: str | Path) -> None:
        self("build", "--network", "host", "--tag", image, *options, context)

    def save(self, image: str, archive: Path) -> None:
        form = ["--format", "docker-archive"] if self.name == "podman" else []
        self("save", *form, "--output", archive, image)


def choose(cache: Cache) -> Engine:
    """A Docker that can do what kind needs, else podman."""
    docker = Engine("docker")
    return docker if answers(docker) and starts_privileged(cache, docker) else podman(cache)


def answers(engine: Engine) -> bool:
    return shutil.which(engine.name) is not None and succeeds([engine.name, "info"], timeout=20)


def starts_privileged(cache: Cache, engine: Engine) -> bool:
    """A kind node is a privileged container, which some limits and cgroup layouts forbid to an engine that answers."""
    bases.provide(cache, engine, bases.BOOKWORM)
    return engine.try_to("run", "--rm", "--privileged", bases.BOOKWORM, "true", timeout=60)


def podman(cache: Cache) -> Engine:
    if os.geteuid() != 0:
        raise HarnessError(
            "No Docker engine answers here (`docker info` fails), and podman is used only as root.\n"
            "Install and start Docker and let this user reach it, or run this as root."
        )
    packages.require(PODMAN_PACKAGES, "container engine")
    provide_modules_folder()
    settings = cache.folder(".") / "containers.conf"
    settings.write_text(containers_conf())
    return Engine("podman", {"CONTAINERS_CONF": str(settings), "KIND_EXPERIMENTAL_PROVIDER": "podman"})


def provide_modules_folder() -> None:
    """kind mounts this folder into its nodes; a kernel without modules has none."""
    if not KERNEL_MODULES.exists():
        say(f"--> creating the empty folder {KERNEL_MODULES}, which kind mounts into its nodes")
        KERNEL_MODULES.mkdir()


def containers_conf() -> str:
    """Limits that never exceed this process's own: raising them needs a capability that even root may lack."""
    lines = ["[containers]", f"default_ulimits = [{', '.join(map(_quoted, ulimits()))}]"]
    if HYBRID_CGROUPS.exists():  # crun refuses this layout
        lines += ["[engine]", 'runtime = "runc"']
    return "\n".join(lines) + "\n"


def ulimits() -> list[str]:
    most_processes = int(PID_MAX.read_text())  # podman lowers its own limit to this before it starts a container
    limits = {
        "nofile": _within(resource.RLIMIT_NOFILE, 1_048_576),
        "nproc": _within(resource.RLIMIT_NPROC, most_processes),
    }
    return [f"{name}={limit}:{limit}" for name, limit in limits.items()]


def _within(kind: int, wanted: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)


def _quoted(text: str) -> str:
    return f'"{text}"'
