"""Debian packages: installed only as root, and said; otherwise named."""

import os
import shutil
from collections.abc import Sequence

from .shell import HarnessError, run, say, succeeds


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
