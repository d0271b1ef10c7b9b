"""`state.json` in the folder of a restore: what the folder is, until when it stays, and before a swap what the swap intends.

It is written anew and renamed, and is on the disk before anything that it announces happens. Other programs may write into a claim, so it is read
strictly. Names are bytes that need not be UTF-8: JSON has them as Python's surrogates, escaped.
"""

import errno
import json
import os
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic.alias_generators import to_camel

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_files import STATE
from quotenode_backup.domain.swap import Intent

VERSION = 1
_WRITTEN = f"{STATE}.writing"
_LARGEST = 1 << 28
"""A folder with a million entries has a journal of some tens of megabytes."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_NOT_A_FILE = {errno.ELOOP, errno.EISDIR, errno.ENXIO}


class Phase(StrEnum):
    STAGING = "Staging"
    """`new` is being filled. It is never swapped in, whatever is in it."""
    STAGED = "Staged"
    """All of `new` is on the disk, and the live folder is as it was. So it is too after a swap was taken back, which can then be made again."""
    SWAPPING = "Swapping"
    """Entries may be anywhere. Only the disk tells where."""
    SWAPPED = "Swapped"
    """The live folder has what was restored, and `old` may be removed when its time has come."""
    UNDOING = "Undoing"
    """A later restore puts back what is in `old`, and its journal and the disk tell how far it is."""
    UNDONE = "Undone"
    """What was in `old` is back in the live folder, or in the folder of a later restore."""


def _name(value: object) -> str:
    if not (isinstance(value, str) and value not in ("", ".", "..") and "/" not in value and "\0" not in value):
        raise ValueError("not the name of an entry")
    return value


Name = Annotated[str, PlainValidator(_name)]
"""pydantic's own strings refuse what is not UTF-8."""
Names = tuple[Name, ...]
Modes = dict[Name, int]


class LoadedDatabase(BaseModel):
    """How the swap of the database is told from the disk: the live name has this oid once it is committed."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    name: str
    """The live name."""
    oid: Annotated[int, Field(ge=1, lt=1 << 32)]


class State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    restore_uid: Annotated[str, Field(min_length=1, max_length=63)]
    attempt: Annotated[int, Field(ge=1)]
    expires: AwareDatetime
    phase: Phase = Phase.STAGING
    bundle_sha256: Annotated[str, Field(max_length=64)] = ""
    """Of the bundle that `new` is from. Empty for an undo."""
    undone_uid: str = ""
    """Of an undo: the restore whose `old` is what this one puts in."""
    undone_by: str = ""
    """The restore that undoes this one."""
    database: LoadedDatabase | None = None
    """None if only files are restored."""
    replaced: Names = ()
    restored: Names = ()
    replaced_modes: Modes = {}
    """Of folders that forbid us to write into them, which the kernel asks of whoever moves them: they are writable for the moment of their rename."""
    restored_modes: Modes = {}

    @property
    def intent(self) -> Intent:
        return Intent(frozenset(self.replaced), frozenset(self.restored))


def read(folder: int) -> State | None:
    """Of the folder of a restore. None if there is none that this release can have written."""
    try:
        with os.fdopen(os.open(STATE, _READ, dir_fd=folder), "rb") as file:
            return _parsed(file.read(_LARGEST + 1))
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _NOT_A_FILE:
            return None
        raise RunFailed(Reason.IO_ERROR, f"The journal of the restore cannot be read: {error.strerror}.") from error


def _parsed(text: bytes) -> State | None:
    if len(text) > _LARGEST:
        return None
    try:
        return State.model_validate(json.loads(text))
    except (ValidationError, ValueError, RecursionError):
        return None


def write(folder: int, state: State) -> None:
    """Returns when it is on the disk. A runner of an older attempt, which is still alive somewhere, does not get past this."""
    before = read(folder)
    if before and before.attempt > state.attempt:
        raise RunFailed(
            Reason.INTERRUPTED,
            f"Attempt {before.attempt} of this restore has begun, so attempt {state.attempt} ends: nothing has to be done.",
        )
    _write(folder, json.dumps(_plain(state), ensure_ascii=True, indent=1).encode("ascii"))


def _plain(state: State) -> Mapping[str, Any]:
    return {to_camel(name): _value(value) for name, value in state if value is not None}


def _value(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case BaseModel():
            return {to_camel(name): inner for name, inner in value}
        case tuple():
            return sorted(value)
    return value


def _write(folder: int, text: bytes) -> None:
    descriptor = os.open(_WRITTEN, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(_WRITTEN, STATE, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
