"""The folder that a volume of files is read from: inside its claim, whatever links say."""

import os
from pathlib import Path

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.files.folders import descend
from quotenode_backup.runner.process.display import shown


class LeadsOutside(OSError):
    """A path that a link takes out of its claim."""


def open_inside(root: Path, sub_path: str) -> int:
    """A descriptor of the folder `sub_path` of `root`. Links on the way count only as long as they stay inside."""
    top = root.resolve(strict=True)
    wanted = (top / sub_path).resolve(strict=True)
    if not wanted.is_relative_to(top):
        raise LeadsOutside(None, "it leads out of the claim")
    return descend(top, wanted.relative_to(top).parts)


def open_source(root: Path, sub_path: str) -> int:
    """The same, with what can be wrong about it in the words of the archive's errors."""
    try:
        return open_inside(root, sub_path)
    except PermissionError as error:
        raise RunFailed(
            Reason.FILE_UNREADABLE,
            f"Folder {shown(sub_path) or 'at the root'} cannot be opened by user id {os.geteuid()}: set "
            "spec.pod.runAsUser to the owner of the files.",
        ) from error
    except OSError as error:
        raise RunFailed(
            Reason.SOURCE_PATH_MISSING, f"Folder {shown(sub_path)} cannot be opened: {error.strerror}."
        ) from error


def require_source(root: Path, sub_path: str, claim: str) -> None:
    """Says at once, and with the claim's name, that a source is not there."""
    try:
        os.close(open_source(root, sub_path))
    except RunFailed as failure:
        raise RunFailed(failure.reason, f"Claim {claim} of spec.files: {failure.message}") from failure.__cause__
