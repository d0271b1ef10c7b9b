"""Debian packages: installed only as root, and said; otherwise named. Programs of some are only unpacked into the cache."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from .cache import Cache, key_of
from .shell import HarnessError, run, say, step, succeeds


def is_installed(package: str) -> bool:
    status = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}", package]
    return succeeds(status) and run(status) == "installed"


def require(packages: Sequence[str], reason: str) -> None:
    missing = [package for package in packages if not is_installed(package)]
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise HarnessError(
            f"Missing Debian packages ({reason}): {names}.\n"
            f"Install them with `sudo apt-get install {names}` and run this again."
        )
    say(f"--> installing Debian packages ({reason}): {names}")
    run(["apt-get", "update"])
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    run(install, env={"DEBIAN_FRONTEND": "noninteractive"})


def unpacked(cache: Cache, package: str) -> Path:
    """The files of a package below a folder of the cache: nothing is installed, and no service of it is started."""

    def make(folder: Path) -> None:
        with cache.scratch() as scratch, step(f"unpacking Debian package {package}"):
            download(package, scratch)
            (archive,) = scratch.glob("*.deb")
            run(["dpkg-deb", "--extract", archive, folder])

    return cache.artifact(f"debian/{package}", key_of(package), make)


def download(package: str, folder: Path) -> None:
    if not shutil.which("apt-get"):
        raise HarnessError(f"This is no Debian: put the programs of its package {package} on PATH yourself.")
    # Else apt would warn that its own user may not write here.
    fetch = ["apt-get", "download", "--option", "APT::Sandbox::User=root", package]
    try:
        run(fetch, cwd=folder)
    except HarnessError as error:
        if os.geteuid() != 0:
            raise HarnessError(f"{error}\nRun `sudo apt-get update` and then this again.") from error
        run(["apt-get", "update"])
        run(fetch, cwd=folder)
