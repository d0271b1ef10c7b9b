"""Where an attempt writes its bundle, whether it can, and whether there is room."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.bundle.writer import ASIDES
from quotenode_backup.runner.files.folders import NOT_A_FOLDER, LeadsOutside, steps_inside
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.store.folder import BundleFolder, opened

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST} | NOT_A_FOLDER
_OF_THE_PROCESS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_PROBE = ".probe"
_PARTIAL_SUFFIXES = ("", *ASIDES, _PROBE, shape.COMMIT_RECORD_SUFFIX)


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim of spec.storage.local."""

    name: str
    root: Path
    """Where it is mounted."""

    def free(self) -> int:
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def free_in_words(self) -> str:
        found = os.statvfs(self.root)
        has_no_inodes = found.f_files > 0 and found.f_favail == 0
        return (
            "its filesystem has no room for another file" if has_no_inodes else f"{readable_size(self.free())} are free"
        )


@dataclass(frozen=True, slots=True)
class Destination:
    """The folder of the plan's database, and the names of this attempt's partial files in it."""

    claim: Claim
    path: str
    """Of the folder, below the root of the claim."""
    folder: BundleFolder
    server: str
    """Distinguishes this database server from one of the same name in another cluster, if both clusters write into one folder."""
    pod: str
    """Distinguishes the partial files of this pod from those of others."""

    @property
    def partial_prefix(self) -> str:
        """The prefix of the partial files of all attempts to back up this database."""
        return f"{shape.PARTIAL_PREFIX}{self.server}-"

    def partial(self, suffix: str = "") -> str:
        return f"{self.partial_prefix}{self.pod}{suffix}"

    @property
    def partials(self) -> list[str]:
        """All names that a partial file of this attempt can have."""
        return [self.partial(suffix) for suffix in _PARTIAL_SUFFIXES]

    def create(self, suffix: str = "") -> int:
        return self.folder.create(self.partial(suffix))

    def remove(self, suffix: str = "") -> None:
        self.folder.unlink(self.partial(suffix))

    def below_claim(self, name: str) -> str:
        return f"{self.path}/{name}"

    def written(self) -> int:
        """The bytes on the disk that this attempt has written so far."""
        found = (self.folder.status(name) for name in self.partials)
        return sum(status.st_blocks * 512 for status in found if status)


@contextmanager
def prepared(root: Path, plan: BackupPlan, server: str, pod: str) -> Iterator[Destination]:
    """`root`: where the claim is mounted. Folders that are missing are created."""
    claim = Claim(plan.local.claim_name, root)
    with ExitStack() as stack:
        try:
            steps = (*_steps(root, plan), plan.target.bundle_folder)
            folder = stack.enter_context(opened(root, steps, create=True))
        except OSError as error:
            raise not_stored(claim, error) from error
        yield Destination(claim, "/".join(steps), folder, server, pod)


def _steps(root: Path, plan: BackupPlan) -> tuple[str, ...]:
    try:
        return steps_inside(root, plan.local.sub_path, strict=False)
    except LeadsOutside as error:
        raise RunFailed(
            Reason.DESTINATION_NOT_WRITABLE,
            f"Folder {escape(plan.local.sub_path)} leads out of claim {plan.local.claim_name} through a link: "
            "correct spec.storage.local.subPath.",
        ) from error


def require_writable(destination: Destination) -> None:
    """Must come after `clear_away`, since the disk may be full of what a dead attempt left."""
    descriptor = destination.create(_PROBE)
    try:
        os.write(descriptor, b"\0")
    finally:
        os.close(descriptor)
    destination.remove(_PROBE)


def require_space(claim: Claim, least: int) -> None:
    """`least`: bytes that the bundle takes at the least. A bundle that may be too large is attempted all the same."""
    if claim.free() < least:
        raise no_space(claim, f"it needs about {readable_size(least)} at least")


@contextmanager
def errors_explained(destination: Destination) -> Iterator[None]:
    """What goes wrong inside is the fault of the claim, except that this process may have too many files open, or too little memory."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_PROCESS:
            raise
        raise not_stored(destination.claim, error, destination.written) from error


def not_stored(claim: Claim, error: OSError, written: Callable[[], int] = lambda: 0) -> RunFailed:
    """What an error in a write to the destination means. `written` counts the bytes that were written before the error. Only a disk that is full
    is asked for them, since one that is dead does not answer."""
    if error.errno in _FULL:
        return no_space(claim, f"the disk or quota was full{_after(written)}")
    cause = error.strerror or str(error)
    if error.errno in NOT_A_FOLDER:
        cause = f"{cause}: there is a link or a file in the place of a folder"
    if error.errno in _NOT_WRITABLE:
        return RunFailed(
            Reason.DESTINATION_NOT_WRITABLE,
            f"User id {os.geteuid()} cannot write to claim {claim.name} of spec.storage.local ({cause}): set "
            "spec.pod.fsGroup or spec.pod.runAsUser to a group or a user that can, or change the owner of the folder.",
        )
    return RunFailed(Reason.IO_ERROR, f"Writing to claim {claim.name} of spec.storage.local failed: {cause}.")


def _after(written: Callable[[], int]) -> str:
    with suppress(OSError):
        return f" after {readable_size(written())}"
    return ""


def no_space(claim: Claim, why: str) -> RunFailed:
    return RunFailed(
        Reason.NO_SPACE,
        f"Claim {claim.name} of spec.storage.local is too full for this backup: {why}, and {claim.free_in_words()}. "
        "Enlarge the claim or remove old bundles.",
    )
