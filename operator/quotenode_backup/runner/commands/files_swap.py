"""The files' half of a swap: all folders change places together, or none does."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from quotenode_backup.contract.restore_plans import RestoreSwapPlan
from quotenode_backup.domain.swap import Side
from quotenode_backup.runner.commands.restore_target import LiveFolder
from quotenode_backup.runner.files import journal
from quotenode_backup.runner.files.journal import LoadedDatabase, Phase, State
from quotenode_backup.runner.files.restore_folder import RestoreFolder, opened
from quotenode_backup.runner.files.swap import begin, begin_undo, move_to, settle


@dataclass(frozen=True, slots=True)
class FilesSwap:
    plan: RestoreSwapPlan
    folders: tuple[RestoreFolder, ...]

    @property
    def phases(self) -> list[Phase | None]:
        """What the journals say. None: there is none."""
        states = (journal.read(folder.descriptor) for folder in self.folders)
        return [state.phase if state else None for state in states]

    @property
    def is_on_the_way(self) -> bool:
        """Whether entries may be anywhere."""
        return Phase.SWAPPING in self.phases

    @property
    def own_side(self) -> Side:
        """For a restore of files alone: once all folders have announced their swap, it goes forward. Before that nothing has moved."""
        phases = self.phases
        return Side.NEW if phases and set(phases) <= {Phase.SWAPPING, Phase.SWAPPED} else Side.OLD

    def begin(self, database: LoadedDatabase | None) -> list[State]:
        """Announces the swap in every folder. Nothing has moved yet."""
        return [self._begun(folder, database) for folder in self.folders]

    def _begun(self, folder: RestoreFolder, database: LoadedDatabase | None) -> State:
        plan = self.plan
        if plan.undo_of:
            return begin_undo(folder, plan.undo_of, plan.attempt, plan.expires, database)
        return begin(folder, plan.attempt, plan.expires, database)

    def move(self, states: list[State]) -> None:
        for folder, state in zip(self.folders, states, strict=True):
            move_to(folder, state, Side.NEW)

    def settle(self, side: Side) -> int:
        """How many entries had to make way that somebody else wrote meanwhile."""
        return sum(len(settle(folder, side)) for folder in self.folders)


@contextmanager
def files_swap(plan: RestoreSwapPlan, live: Mapping[str, LiveFolder]) -> Iterator[FilesSwap]:
    with ExitStack() as stack:
        folders = tuple(stack.enter_context(opened(folder.live, plan.run_uid)) for folder in live.values())
        yield FilesSwap(plan, folders)
