"""The programs the harness and the tests call: taken from PATH when new enough, else built into the cache."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from . import golang, packages, versions
from .cache import Cache
from .shell import HarnessError

VERSION_COMMANDS = {
    "kind": ["version"],
    "kubectl": ["version", "--client", "--output", "json"],
    "helm": ["version", "--short"],
    "restic": ["version"],
    "prometheus": ["--version"],
    "promtool": ["--version"],
}


def builders(cache: Cache) -> dict[str, Callable[[], Path]]:
    return {
        "kind": lambda: golang.built(cache, golang.KIND),
        "kubectl": lambda: golang.kubernetes(cache) / "kubectl",
        "helm": lambda: golang.built(cache, golang.HELM),
        "restic": lambda: golang.built(cache, golang.RESTIC),
        # Compiling the two takes ten minutes.
        "prometheus": lambda: packages.unpacked(cache, "prometheus") / "usr/bin/prometheus",
        "promtool": lambda: packages.unpacked(cache, "prometheus") / "usr/bin/promtool",
    }


def provide(cache: Cache, name: str) -> Path:
    """The path of a tool that is new enough. Our own build is reached through the cache's `bin` folder."""
    if name not in VERSION_COMMANDS:
        raise HarnessError(f"Unknown tool {name}: known are {', '.join(VERSION_COMMANDS)}.")
    shelf = cache.folder("bin")
    found = shutil.which(name, path=path_without(shelf))
    if found and is_new_enough(name, installed_version(name, found)):
        (shelf / name).unlink(missing_ok=True)
        return Path(found)
    return linked(shelf / name, builders(cache)[name]())


def linked(link: Path, target: Path) -> Path:
    fresh = link.with_name(f".{link.name}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(link)
    return link


def path_without(shelf: Path) -> str:
    return os.pathsep.join(part for part in os.get_exec_path() if Path(part) != shelf)


def installed_version(name: str, executable: str) -> str:
    command = [executable, *VERSION_COMMANDS[name]]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def is_new_enough(name: str, printed: str) -> bool:
    """Read the first version number a tool prints about itself; whatever has none is too old."""
    found = re.search(r"(\d+)\.(\d+)\.\d+", _git_version(printed))
    return found is not None and (int(found[1]), int(found[2])) >= versions.MINIMUM[name]


def _git_version(printed: str) -> str:
    """kubectl tells a Go version too, so its own number is picked by name."""
    try:
        return str(json.loads(printed)["clientVersion"]["gitVersion"])
    except (ValueError, KeyError, TypeError):
        return printed
