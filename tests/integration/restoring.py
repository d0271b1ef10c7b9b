"""The files half of a restore as a user without any right: each step is a process of its own, as it is a Job of its own.

`python3 -m tests.integration.restoring STEP LIVE ARGUMENTS`. The last line of its output says how it ended.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_files import folder_name
from quotenode_backup.domain.swap import Side
from quotenode_backup.runner.bundle.streams import Unpacked
from quotenode_backup.runner.files import expiry, swap
from quotenode_backup.runner.files.archive_check import Tally
from quotenode_backup.runner.files.extract import extract
from quotenode_backup.runner.files.probes import require_renames, require_replaceable
from quotenode_backup.runner.files.restore_folder import opened

UID = "0b6f2a9e-6a53-4f0e-9d59-0c6f7d1c2e3f"
USER = 10001
EXPIRES = datetime(2026, 3, 1, tzinfo=UTC)
UNLIMITED = Tally(1 << 60, 1 << 60, 1 << 60, 1 << 60)
NO_RIGHTS = ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]


class Failed(AssertionError):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, message


def archive_of(source: Path) -> bytes:
    """Written by the real archive, as root."""
    reading, writing = os.pipe()
    sources = json.dumps([{"name": ".", "root": str(source), "subPath": "", "claimName": "c"}])
    command = [sys.executable, "-m", "quotenode_backup", "archive", str(writing), sources]
    ended = subprocess.run(command, env=_environment(), pass_fds=[writing], stdout=subprocess.PIPE, check=True)
    os.close(writing)
    os.close(reading)
    return ended.stdout


def as_user(step: str, live: Path, *arguments: object, groups: str = "--clear-groups") -> object:
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", groups, *NO_RIGHTS]
    command = [*user, sys.executable, "-m", "tests.integration.restoring", step, str(live), *map(str, arguments)]
    ended = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout.splitlines()[-1])
    if "reason" in outcome:
        raise Failed(Reason(outcome["reason"]), outcome["message"])
    return outcome["result"]


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}


def _stage(live: int, archive: str) -> int:
    with opened(live, UID) as folder, folder.staging(1, EXPIRES, "") as new, FileIO(archive) as file:
        pieces = iter(lambda: file.read(1 << 18), b"")
        found = extract(Unpacked(pieces), ["."], {".": new}, UNLIMITED)
        require_renames(folder)
        return found.owners_not_set


def _swap(live: int, side: str) -> list[str]:
    with opened(live, UID) as folder:
        swap.begin(folder, 1, EXPIRES)
        return swap.settle(folder, Side(side))


def _settle(live: int, side: str) -> list[str]:
    with opened(live, UID) as folder:
        return swap.settle(folder, Side(side))


def _killed_in_a_rename(live: int, name: str) -> None:
    """A folder that forbids us to write into it was made writable, and then came SIGKILL."""
    with opened(live, UID) as folder:
        swap.begin(folder, 1, EXPIRES)
    mode = os.stat(name, dir_fd=live).st_mode | 0o700
    Path(f"/proc/self/fd/{live}/{name}").chmod(mode)
    Path(f"/proc/self/fd/{live}/{folder_name(UID)}/new/{name}").chmod(mode)


STEPS: dict[str, Callable[..., object]] = {
    "look": require_replaceable,
    "stage": _stage,
    "swap": _swap,
    "settle": _settle,
    "kill in a rename": _killed_in_a_rename,
    "expire": lambda live: expiry.remove_expired(live, EXPIRES),
}


def main(step: str, live: str, *arguments: str) -> None:
    descriptor = os.open(live, os.O_RDONLY)
    try:
        outcome = {"result": STEPS[step](descriptor, *arguments)}
    except RunFailed as failure:
        outcome = {"reason": failure.reason, "message": failure.message}
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
