"""The folder that a volume of files is read from. It is inside its claim, wherever links lead."""

import os
from pathlib import Path

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.files.folders import descend, steps_inside
from quotenode_backup.runner.process.display import escape


def open_source(root: Path, sub_path: str) -> int:
    """A descriptor of the folder `sub_path` of the claim that is mounted at `root`."""
    try:
        return descend(root, steps_inside(root, sub_path, strict=True))
    except PermissionError as error:
        raise RunFailed(
            Reason.FILE_UNREADABLE,
            f"Folder {escape(sub_path) or 'at the root'} cannot be opened by user id {os.geteuid()}: set "
            "spec.pod.runAsUser to the owner of the files.",
        ) from error
    except OSError as error:
        raise RunFailed(
            Reason.SOURCE_PATH_MISSING, f"Folder {escape(sub_path)} cannot be opened: {error.strerror}."
        ) from error


def require_source(root: Path, sub_path: str, claim: str) -> None:
    """Fails at the start of a run, and with the name of the claim, when a source is missing."""
    try:
        os.close(open_source(root, sub_path))
    except RunFailed as failure:
        raise RunFailed(failure.reason, f"Claim {claim} of spec.files: {failure.message}") from failure.__cause__
