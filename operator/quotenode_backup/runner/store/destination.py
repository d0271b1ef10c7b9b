"""The folder of one database's bundles: where it is, whether it can be written to, and whether there is room."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.naming import bundle_folder
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.process.display import shown

_FULL = {errno.ENOSPC, errno.EDQUOT}
_PROBE = ".probe"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the bundles of the plan's database go."""

    path: Path
    claim_root: Path
    claim: str
    server: str
    """Tells this database server from one of the same name in another cluster that shares the folder."""
    mark: str
    """Tells the partial files of this pod from those of dead ones."""

    @property
    def partials(self) -> str:
        """How the partial files of this server's attempts are called, as a pattern."""
        return f"{shape.PARTIAL_PREFIX}{self.server}-*"

    def partial(self, suffix: str = "") -> Path:
        return self.path / f"{shape.PARTIAL_PREFIX}{self.server}-{self.mark}{suffix}"

    def create(self, suffix: str = "") -> int:
        """A descriptor of a new partial file."""
        return os.open(self.partial(suffix), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)

    def remove(self, suffix: str = "") -> None:
        self.partial(suffix).unlink()

    def below_claim(self, name: str) -> str:
        return str((self.path / name).relative_to(self.claim_root))

    def free(self) -> int:
        found = os.statvfs(self.claim_root)
        return found.f_bavail * found.f_frsize

    def free_in_words(self) -> str:
        found = os.statvfs(self.claim_root)
        no_more_names = found.f_files > 0 and found.f_favail == 0
        return (
            "its filesystem has no room for another file" if no_more_names else f"{readable_size(self.free())} are free"
        )

    def written(self) -> int:
        """By this attempt, so far."""
        return sum(path.lstat().st_blocks * 512 for path in self.path.glob(f"{self.partial().name}*"))


def prepare(root: Path, plan: BackupPlan, server: str, mark: str) -> Folder:
    target = plan.database
    name = bundle_folder(plan.namespace, target.host, target.port, target.name)
    claim_root = root.resolve()
    folder = Folder(_inside(claim_root, plan) / name, claim_root, plan.local.claim_name, server, mark)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        if folder.path.is_symlink():
            raise NotADirectoryError(errno.ELOOP, "its folder for this database is a link")
    except OSError as error:
        raise not_stored(folder, error) from error
    return folder


def _inside(root: Path, plan: BackupPlan) -> Path:
    path = (root / plan.local.sub_path).resolve()
    if not path.is_relative_to(root):
        raise RunFailed(
            Reason.DESTINATION_NOT_WRITABLE,
            f"Folder {shown(plan.local.sub_path)} leads out of claim {plan.local.claim_name} by a link: "
            "correct spec.storage.local.subPath.",
        )
    return path


def require_writable(folder: Folder) -> None:
    """Only after `clear_away`: what a dead attempt left may be what fills the disk."""
    descriptor = folder.create(_PROBE)
    try:
        os.write(descriptor, b"\0")
    finally:
        os.close(descriptor)
    folder.remove(_PROBE)


def not_stored(folder: Folder, error: OSError) -> RunFailed:
    """What an error of writing to the destination means."""
    if error.errno in _FULL:
        return no_space(folder, f"the disk or quota is full after {readable_size(folder.written())} of it")
    said = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ELOOP):
        return RunFailed(
            Reason.DESTINATION_NOT_WRITABLE,
            f"User id {os.geteuid()} cannot write to claim {folder.claim} of spec.storage.local ({said}): set "
            "spec.pod.fsGroup or spec.pod.runAsUser to one that may, or repair the folder's owner.",
        )
    return RunFailed(Reason.IO_ERROR, f"Writing to claim {folder.claim} of spec.storage.local failed: {said}.")


def no_space(folder: Folder, why: str) -> RunFailed:
    return RunFailed(
        Reason.NO_SPACE,
        f"Claim {folder.claim} of spec.storage.local is too full for this backup: {why}, {folder.free_in_words()}. "
        "Enlarge the claim or remove old bundles.",
    )


def require_space(folder: Folder, least: int) -> None:
    """Refuses only what cannot work; what merely might not is tried, and the disk has the last word."""
    if folder.free() < least:
        raise no_space(folder, f"it needs about {readable_size(least)} at the very least")
