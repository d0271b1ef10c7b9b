"""`python -m quotenode_backup find` looks for the bundle of a run whose resource was recreated without its status.

It is a success, too, if the bundle is not there. It is a failure only if that cannot be found out.
"""

import errno
import hashlib
import os
from collections.abc import Sequence

from quotenode_backup.contract.manifest import NewerFormat
from quotenode_backup.contract.plans import SearchPlan
from quotenode_backup.contract.results import DETAIL_LIMIT, SearchResult, StoredBundle
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.bundle.streams import ReadAhead
from quotenode_backup.runner.files.folders import NOT_A_FOLDER, steps_of
from quotenode_backup.runner.process import plan_io, program
from quotenode_backup.runner.process.display import escape, sentence
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context
from quotenode_backup.runner.process.signals import Unfinished
from quotenode_backup.runner.store.committed import stored_bundle
from quotenode_backup.runner.store.folder import BundleFolder, reached

A_SEARCH = Unfinished("the search for the bundle was over", "the search is tried again")
_NOT_ALLOWED = {errno.EACCES, errno.EPERM}


class Absent(Exception):
    """Says why the bundle is not there, as the end of a sentence."""


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(SearchPlan, SearchResult, find, A_SEARCH), arguments, mounts)


def find(plan: SearchPlan, context: Context) -> SearchResult:
    try:
        bundle = _found(plan, context.mounts)
    except Absent as absence:
        return plan_io.succeeded(plan, f"{_path(plan)} {absence}.", SearchResult)
    except OSError as error:
        raise _failed(plan, error) from error
    message = f"{_path(plan)} is there ({readable_size(plan.size_bytes)}), and all of it was read again."
    return plan_io.succeeded(plan, message, SearchResult).model_copy(update={"bundle": bundle})


def _found(plan: SearchPlan, mounts: Mounts) -> StoredBundle:
    *folders, name = steps_of(plan.path) or [""]
    if not name:
        raise Absent("is not the path of a file inside the claim")
    try:
        with reached(mounts.destination, folders) as folder:
            return _in_folder(plan, folder, name)
    except OSError as error:
        if error.errno in NOT_A_FOLDER:
            raise Absent("is reached through a link or a file, not a folder") from error
        raise


def _in_folder(plan: SearchPlan, folder: BundleFolder | None, name: str) -> StoredBundle:
    record = folder.record(shape.record_name(name), name) if folder else None
    if folder is None or record is None:
        raise Absent("has no commit record")
    if isinstance(record, NewerFormat):
        raise RunFailed(
            Reason.FILE_UNREADABLE,
            f"{_path(plan)} has a commit record {record}: install that release again.",
        )
    if record.bundle.sha256 != plan.sha256:
        raise Absent("is the bundle of another backup, by the checksum in its commit record")
    if folder.size(name) != plan.size_bytes:
        raise Absent(f"is not a file of {plan.size_bytes} bytes, though its commit record is there")
    if _sha256(folder, name) != plan.sha256:
        raise Absent("was damaged since: its content does not have its checksum any longer")
    return stored_bundle(record, plan.path)


def _sha256(folder: BundleFolder, name: str) -> str:
    whole = hashlib.sha256()
    with folder.file(name) as file, ReadAhead(file, whole) as ahead:
        for _ in ahead:
            pass
    return whole.hexdigest()


def _failed(plan: SearchPlan, error: OSError) -> RunFailed:
    if error.errno in _NOT_ALLOWED:
        return RunFailed(
            Reason.FILE_UNREADABLE,
            f"User id {os.geteuid()} cannot read {_path(plan)} or a file beside it ({error.strerror}): change its owner or mode.",
        )
    return RunFailed(Reason.IO_ERROR, f"Reading {_path(plan)} failed: {error.strerror}.")


def _path(plan: SearchPlan) -> str:
    return sentence(f"{escape(plan.path)} of claim {plan.local.claim_name}", DETAIL_LIMIT // 2)
