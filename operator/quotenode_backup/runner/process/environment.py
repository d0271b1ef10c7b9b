"""The environment of child processes. It is made from scratch, so that nothing secret and nothing left over is in it."""

import resource
from pathlib import Path

import quotenode_backup
from quotenode_backup.runner.process.mounts import Mounts

_PATH = "/usr/local/bin:/usr/bin:/bin"


def child_environment(mounts: Mounts) -> dict[str, str]:
    private = str(mounts.private)
    return {"PATH": _PATH, "LC_ALL": "C.UTF-8", "HOME": private, "TMPDIR": private}


def python_environment(mounts: Mounts) -> dict[str, str]:
    """The environment of a child that runs this package: it must find the one that its parent was loaded from."""
    package = Path(quotenode_backup.__path__[0])
    return {**child_environment(mounts), "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}


def forbid_core_dumps() -> None:
    """A core file of this program or of a child would contain the password."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
