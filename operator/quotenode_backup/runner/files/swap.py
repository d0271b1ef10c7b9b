"""Live and restored files change places by renames, which whatever kills them leaves in a state that the next runner goes on from.

`begin` writes the journal, `move_to` makes the renames, and `settle` also says in the journal that all is decided: after it the application may run.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_files import LATE, REPLACED, STAGED, stays
from quotenode_backup.domain.swap import Intent, Move, OnDisk, Place, Side, next_step
from quotenode_backup.runner.files import journal
from quotenode_backup.runner.files.failures import named
from quotenode_backup.runner.files.journal import LoadedDatabase, Phase, State
from quotenode_backup.runner.files.moving import finish_links, move
from quotenode_backup.runner.files.open_folders import OpenFolders, names_in
from quotenode_backup.runner.files.permissions import mode_of, set_mode
from quotenode_backup.runner.files.restore_folder import RestoreFolder, existing, holds

_MOST_ROUNDS = 100
_WRITE = 0o200
Moved = Callable[[Move], None]


def _unheard(_: Move) -> None:
    """For those who need no report."""


def begin(folder: RestoreFolder, attempt: int, expires: datetime, database: LoadedDatabase | None = None) -> State:
    """Announces in the journal that what is staged will be swapped in. Nothing has moved yet. `expires`: until when the replaced files stay."""
    staged = journal.read(folder.descriptor)
    if not (staged and staged.phase is Phase.STAGED and not staged.undone_uid):
        raise _unfinished("what is to be swapped in is not all there")
    return _announced(folder, staged.model_copy(update=_of_attempt(attempt, expires, database)))


def begin_undo(
    folder: RestoreFolder, undone_uid: str, attempt: int, expires: datetime, database: LoadedDatabase | None = None
) -> State:
    """The same for what an earlier restore has replaced. It is moved from where it is kept, and does not expire meanwhile."""
    with existing(folder.live, undone_uid) as undone:
        kept = journal.read(undone.descriptor) if undone else None
        if not (undone and kept and _may_undo(kept, folder.restore_uid)):
            raise RunFailed(
                Reason.FILES_NOT_REPLACEABLE,
                "The files that the earlier restore replaced are not there any more, so it cannot be undone: restore a backup from before it.",
            )
        undo = State(restore_uid=folder.restore_uid, attempt=attempt, expires=expires, undone_uid=undone_uid)
        state = _announced(folder, undo.model_copy(update=_of_attempt(attempt, expires, database)))
        _mark(undone, Phase.UNDOING, folder.restore_uid)
        return state


def _may_undo(kept: State, by: str) -> bool:
    """What is on its way back belongs to the undo that has begun. A second undo would find an empty folder, and would take that for what was there
    before."""
    return kept.phase is Phase.SWAPPED or (kept.phase is Phase.UNDOING and kept.undone_by == by)


def _of_attempt(attempt: int, expires: datetime, database: LoadedDatabase | None) -> dict[str, object]:
    return {"attempt": attempt, "expires": expires, "database": database}


def _announced(folder: RestoreFolder, wanted: State) -> State:
    if holds(folder.descriptor, REPLACED):
        raise _unfinished("an earlier swap of this restore is not settled")
    with _sides(folder, wanted) as sides:
        replaced, restored = (tuple(filter(_moves, names_in(sides[side]))) for side in (Place.LIVE, Place.NEW))
        state = wanted.model_copy(
            update={
                "phase": Phase.SWAPPING,
                "replaced": replaced,
                "restored": restored,
                "replaced_modes": _unwritable(sides[Place.LIVE], replaced),
                "restored_modes": _unwritable(sides[Place.NEW], restored),
            }
        )
    journal.write(folder.descriptor, state)
    os.fsync(folder.live)
    return state


def settle(folder: RestoreFolder, side: Side, moved: Moved = _unheard) -> list[str]:
    """Once it is known which side the database is on. May be called again at any time: what is settled is never touched again, since the application
    may run by then. Gives the names that somebody wrote meanwhile and that had to make way."""
    state = journal.read(folder.descriptor)
    if not _is_settled(folder, state, side):
        if state is None or state.phase is not Phase.SWAPPING:
            raise _unfinished(
                f"its files are {state.phase if state else 'without a journal'}, and its database says otherwise"
            )
        move_to(folder, state, side, moved)
        if state.undone_uid:
            with existing(folder.live, state.undone_uid) as undone:
                _mark(undone, Phase.UNDONE if side is Side.NEW else Phase.SWAPPED, folder.restore_uid)
        phase = Phase.SWAPPED if side is Side.NEW else Phase.STAGED
        journal.write(folder.descriptor, state.model_copy(update={"phase": phase}))
    return late_entries(folder)


def _is_settled(folder: RestoreFolder, state: State | None, side: Side) -> bool:
    """A folder without a journal has never begun a swap, unless `old` says otherwise."""
    if side is Side.NEW:
        return state is not None and state.phase is Phase.SWAPPED
    if state is None:
        return not holds(folder.descriptor, REPLACED)
    return state.phase in (Phase.STAGING, Phase.STAGED)


def late_entries(folder: RestoreFolder) -> list[str]:
    """The names in `late`. They stay there as long as the replaced entries do."""
    if not holds(folder.descriptor, LATE):
        return []
    with folder.subfolder(LATE) as late, OpenFolders({"": late}) as numbered:
        return [
            name for number in sorted(names_in(late)) for name in names_in(numbered.enter("", (os.fsencode(number),)))
        ]


def _mark(undone: RestoreFolder | None, phase: Phase, by: str) -> None:
    if undone and (state := journal.read(undone.descriptor)):
        journal.write(undone.descriptor, state.model_copy(update={"phase": phase, "undone_by": by}))


def move_to(folder: RestoreFolder, state: State, side: Side, moved: Moved = _unheard) -> None:
    """Goes on from whatever is on the disk until the live folder has the entries of `side`, and until that is on the disk."""
    with _sides(folder, state) as sides:
        _Swap(folder, state.intent, sides, moved).go(side)
        _restore_modes(state.replaced_modes, sides[Place.OLD if side is Side.NEW else Place.LIVE])
        _restore_modes(state.restored_modes, sides[Place.LIVE if side is Side.NEW else Place.NEW])


@contextmanager
def _sides(folder: RestoreFolder, state: State) -> Iterator[Mapping[Place, int]]:
    with ExitStack() as stack:
        old = stack.enter_context(folder.subfolder(REPLACED))
        if not state.undone_uid:
            new = stack.enter_context(folder.subfolder(STAGED))
        else:
            undone = stack.enter_context(existing(folder.live, state.undone_uid))
            if undone is None:
                raise _unfinished("the folder of the restore that is undone has vanished")
            new = stack.enter_context(undone.subfolder(REPLACED))
        yield {Place.LIVE: folder.live, Place.NEW: new, Place.OLD: old}


@dataclass
class _Swap:
    folder: RestoreFolder
    intent: Intent
    sides: Mapping[Place, int]
    moved: Moved

    def go(self, side: Side) -> None:
        """Others may change the live folder between the look at it and the rename, so a move that cannot be made is decided anew."""
        for _ in range(_MOST_ROUNDS):
            step = next_step(self.intent, self._on_disk(), side)
            if step is None:
                return
            for move_ in step.moves:
                self._make(move_)
            self._sync(step.moves[0])
        raise _unfinished("somebody keeps changing the live folder: stop whatever writes into it")

    def _make(self, wanted: Move) -> None:
        try:
            self._renamed(wanted)
        except (FileNotFoundError, FileExistsError):
            return
        except OSError as error:
            raise _unfinished(f"{named(wanted.name)} cannot be renamed ({error.strerror})") from error
        self.moved(wanted)

    def _renamed(self, wanted: Move) -> None:
        source = self.sides[wanted.source]
        if wanted.target is not Place.LATE:
            move(source, wanted.name, self.sides[wanted.target])
            return
        with self.folder.subfolder(LATE) as late, _next_number(late) as own:
            move(source, wanted.name, own)
            os.fsync(own)

    def _on_disk(self) -> OnDisk:
        live, new, old = (frozenset(names_in(self.sides[place])) for place in (Place.LIVE, Place.NEW, Place.OLD))
        for place, names in ((Place.NEW, new), (Place.OLD, old)):
            live -= finish_links(self.sides[Place.LIVE], self.sides[place], live & names)
        return OnDisk(live, new, old)

    def _sync(self, made: Move) -> None:
        """The new names before the old ones are gone."""
        for place in (made.target, made.source):
            if place in self.sides:
                os.fsync(self.sides[place])


@contextmanager
def _next_number(late: int) -> Iterator[int]:
    number = 1 + max((int(name) for name in names_in(late) if name.isdecimal()), default=0)
    os.mkdir(str(number), 0o700, dir_fd=late)
    os.fsync(late)
    descriptor = os.open(str(number), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=late)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _moves(name: str) -> bool:
    return not stays(name)


def _unwritable(folder: int, names: tuple[str, ...]) -> dict[str, int]:
    modes = ((name, mode_of(folder, name)) for name in names)
    return {name: mode for name, mode in modes if mode is not None and not mode & _WRITE}


def _restore_modes(modes: Mapping[str, int], folder: int) -> None:
    """Of folders that were killed in the moment in which they were writable."""
    for name, mode in modes.items():
        if mode_of(folder, name) == mode | 0o700:
            set_mode(folder, name, mode)


def _unfinished(why: str) -> RunFailed:
    return RunFailed(
        Reason.SWAP_UNFINISHED,
        f"The files of the restore did not change places: {why}. Nothing is lost, and the next attempt goes on from what is on the disk.",
    )
